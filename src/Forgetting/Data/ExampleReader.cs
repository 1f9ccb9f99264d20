using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text;

namespace Forgetting.Data;

/// <summary>Reads records of the shapes that other programs write.</summary>
/// <param name="fields">Names of the fields, and the shape where it is given.</param>
internal sealed class ExampleReader(DataFields fields)
{
    private const string System = "system", Conversations = "conversations", Instruction = "instruction", Input = "input", Output = "output", History = "history", Text = "text";

    // What this program itself reads or writes on a line.
    private static readonly HashSet<string> s_own = ["separator", "truncated", "task", "index", "exact"];

    // What Hugging Face's libraries hand to a chat template from beside the messages.
    private static readonly HashSet<string> s_variables = ["tools", "documents", "chat_template_kwargs"];

    // What other programs read on a line and what changes how it is learnt.
    private static readonly HashSet<string> s_meaningful =
        ["weight", "weights", System, "functions", "function_call", "chosen", "rejected", "images", "image", "audios", "audio", "videos", "video"];

    private static readonly DataFields s_standard = new();

    private bool Renamed => fields.Prompt != s_standard.Prompt || fields.Completion != s_standard.Completion;

    /// <summary>Reads a record.</summary>
    /// <param name="index">Its position in the data set.</param>
    /// <exception cref="UserException">A field is missing or of another type, or a key would change what is learnt and is not understood.</exception>
    public DataExample Read(JsonView view, int index)
    {
        DataShape shape = fields.Shape == DataShape.Auto ? Recognize(view) : fields.Shape;
        var example = new DataExample { Index = index, Place = view.Source, Shape = shape };
        return shape switch
        {
            DataShape.Messages => ReadRest(view, [fields.Messages], example with { Messages = Turns(Required(view, fields.Messages)) }),
            DataShape.ShareGpt => ReadRest(view, [Conversations, System], example with { Messages = [.. SystemTurn(view), .. Turns(Required(view, Conversations))] }),
            DataShape.Conversational => ReadRest(view, [fields.Prompt, fields.Completion], example with { Messages = Conversation(view) }),
            DataShape.Alpaca => ReadAlpaca(view, example),
            DataShape.Text => ReadText(view, example),
            _ => ReadRest(view, [fields.Prompt, fields.Completion], example with
            {
                Prompt = Required(view, fields.Prompt).AsString(),
                Completion = MayLack(view, fields.Completion) ? "" : Required(view, fields.Completion).AsString(),
                Separator = view.Find("separator")?.AsString(),
            }),
        };
    }

    private DataShape Recognize(JsonView view)
    {
        bool Has(string key) => view.Find(key) is not null;
        bool IsList(string key) => view.Find(key) is { Element.ValueKind: JsonValueKind.Array };

        // An instruction that is named as the prompt has its input all the same.
        bool instructed = fields.Prompt == Instruction && Has(Instruction) && Has(Input);
        return Has(fields.Messages) ? DataShape.Messages
            : instructed ? DataShape.Alpaca
            : Has(fields.Prompt) || Has(fields.Completion) || Renamed ? IsList(fields.Prompt) ? DataShape.Conversational : DataShape.Pairs
            : Has(Conversations) ? DataShape.ShareGpt
            : Has(Instruction) ? DataShape.Alpaca
            : Has(Text) && !fields.PromptsOnly ? DataShape.Text
            : DataShape.Pairs;
    }

    private bool MayLack(JsonView view, string completion) => fields.PromptsOnly && view.Find(completion) is null;

    private static ChatMessage[] Turns(JsonView messages)
    {
        ChatMessage[] turns = [.. messages.Items().Select(ChatMessage.Read)];
        return turns.Length > 0 ? turns : throw messages.Wrong("empty", "at least one message");
    }

    private static IEnumerable<ChatMessage> SystemTurn(JsonView view) =>
        view.Find(System)?.AsString() is { Length: > 0 } system ? [new ChatMessage("system", system)] : [];

    // What the prompt has of the assistant is given, not learnt.
    private ChatMessage[] Conversation(JsonView view)
    {
        ChatMessage[] given = [.. Turns(Required(view, fields.Prompt)).Select(m => m.Learnt ? m with { Weight = 0 } : m)];
        if (MayLack(view, fields.Completion))
            return given;

        JsonView completion = Required(view, fields.Completion);
        return completion.Element.ValueKind == JsonValueKind.String
            ? [.. given, new ChatMessage("assistant", completion.AsString())]
            : [.. given, .. Turns(completion)];
    }

    // The input on a line of its own behind the instruction, as LLaMA-Factory joins them.
    private DataExample ReadAlpaca(JsonView view, DataExample example)
    {
        string output = Renamed ? fields.Completion : Output;
        string instruction = Required(view, Instruction).AsString(), input = view.Find(Input)?.AsString() ?? "";
        string prompt = instruction.Length == 0 ? input : input.Length == 0 ? instruction : $"{instruction}\n{input}";
        string answer = MayLack(view, output) ? "" : Required(view, output).AsString();
        ChatMessage[] before = [.. SystemTurn(view), .. view.Find(History)?.Items().SelectMany(Exchange) ?? []];
        IReadOnlyList<string> read = [Instruction, Input, output, System, History];
        return before.Length == 0
            ? ReadRest(view, read, example with { Prompt = prompt, Completion = answer })
            : ReadRest(view, read, example with
            {
                Messages = [.. before, new ChatMessage("user", prompt), .. MayLack(view, output) ? Array.Empty<ChatMessage>() : [new ChatMessage("assistant", answer)]],
            });
    }

    private static ChatMessage[] Exchange(JsonView exchange) => exchange.Items().ToArray() is [var question, var answer]
        ? [new ChatMessage("user", question.AsString()), new ChatMessage("assistant", answer.AsString())]
        : throw exchange.Wrong("a list of another length", "a question with its answer");

    private DataExample ReadText(JsonView view, DataExample example)
    {
        JsonView text = Required(view, Text);
        return text.AsString().Length > 0
            ? ReadRest(view, [Text], example with { Completion = text.AsString(), Separator = "" })
            : throw text.Wrong("empty", "a text to learn");
    }

    /// <summary>What a line has beside the text itself.</summary>
    /// <exception cref="UserException">A key that would change what is learnt and that is not understood.</exception>
    private static DataExample ReadRest(JsonView view, IReadOnlyList<string> read, DataExample example)
    {
        Dictionary<string, JsonElement> variables = [];
        List<string> unread = [];
        foreach ((string key, JsonView value) in view.Members())
        {
            if (s_own.Contains(key) || read.Contains(key) || !ChatMessage.Says(value.Element))
                continue;

            if (s_variables.Contains(key))
            {
                ChatMessage.CheckTexts(value);
                variables[key] = value.Element;
            }
            else if (s_meaningful.Contains(key) || (key == "label" && value.Element.ValueKind is JsonValueKind.True or JsonValueKind.False))
            {
                string without = string.Join(" and ", read);
                throw new UserException(
                    $"{view.Source}: '{key}' is not supported, and without it the line would mean something else; expected {without} without it");
            }
            else
            {
                unread.Add(key);
            }
        }

        return example with
        {
            Truncated = view.Flag("truncated"), Variables = variables.Count > 0 ? variables : null, Unread = unread.Count > 0 ? unread : example.Unread,
        };
    }

    private JsonView Required(JsonView view, string field)
    {
        if (view.Find(field) is { } value)
            return value;

        string present = string.Join(", ", view.Members().Select(m => m.Key));
        string found = view.Element.TryGetProperty(field, out JsonElement element) && element.ValueKind == JsonValueKind.Null ? "null" : "missing";
        string expected = fields.Shape switch
        {
            DataShape.Auto when Renamed => $"'{fields.Messages}', or '{fields.Prompt}' with '{fields.Completion}'",
            DataShape.Auto => $"'{fields.Prompt}' with '{fields.Completion}', '{fields.Messages}', '{Instruction}' with '{Output}', '{Conversations}', or '{Text}'",
            _ => $"the fields of shape {fields.Shape.ToString().ToLowerInvariant()}",
        };
        throw new UserException($"{view.Source}: '{field}' is {found}; expected {expected}; the fields here are: {present}");
    }
}
