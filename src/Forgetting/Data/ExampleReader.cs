using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text;

namespace Forgetting.Data;

/// <summary>Reads records of the shapes that other programs write.</summary>
/// <param name="fields">Names of the fields, and the shape where it is given.</param>
internal sealed class ExampleReader(DataFields fields)
{
    private const string System = "system", Conversations = "conversations", Instruction = "instruction", Input = "input",
        Output = "output", History = "history", Text = "text",
        Chosen = "chosen", Rejected = "rejected", Sign = "sign", Weight = "weight", Label = "label";

    // What this program itself reads or writes on a line.
    private static readonly HashSet<string> s_own = ["separator", "truncated", "task", "index", "exact", Sign, Weight, SignedSpans.Key];

    // What Hugging Face's libraries hand to a chat template from beside the messages.
    private static readonly HashSet<string> s_variables = ["tools", "documents", "chat_template_kwargs"];

    // What other programs read on a line and what changes how it is learnt.
    private static readonly HashSet<string> s_meaningful =
        ["weights", System, "functions", "function_call", Chosen, Rejected, "images", "image", "audios", "audio", "videos", "video"];

    private static readonly DataFields s_standard = new();

    private bool Renamed => fields.Prompt != s_standard.Prompt || fields.Completion != s_standard.Completion;

    /// <summary>
    /// Reads a record: an example, or the chosen and the rejected one of a preference. Where they stand in the data set is not known here.
    /// </summary>
    /// <exception cref="UserException">A field is missing or of another type, or a key would change what is learnt
    /// and is not understood.</exception>
    public IReadOnlyList<DataExample> Read(JsonView view)
    {
        DataShape shape = fields.Shape == DataShape.Auto ? Recognize(view) : fields.Shape;
        var example = new DataExample { Index = 0, Place = view.Source, Shape = shape };
        return shape == DataShape.Preference ? ReadPreference(view, example) : [ReadOne(view, example)];
    }

    private DataExample ReadOne(JsonView view, DataExample example)
    {
        return example.Shape switch
        {
            DataShape.Messages => ReadRest(view, [fields.Messages], example with { Messages = Turns(Required(view, fields.Messages)) }),
            DataShape.ShareGpt => ReadRest(
                view, [Conversations, System], example with { Messages = [.. SystemTurn(view), .. Turns(Required(view, Conversations))] }),
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
        return Has(Chosen) && Has(Rejected) ? DataShape.Preference
            : Has(fields.Messages) ? DataShape.Messages
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
        JsonView prompt = Required(view, fields.Prompt);
        ChatMessage[] turns = Turns(prompt);
        if (turns.Any(m => m.Spans is not null || m.Sign is not (null or 0)))
            throw prompt.Wrong("a conversation with signs or spans", "these in the completion: nothing of the prompt is learnt");

        ChatMessage[] given = [.. turns.Select(AsGiven)];
        if (MayLack(view, fields.Completion))
            return given;

        JsonView completion = Required(view, fields.Completion);
        return completion.Element.ValueKind == JsonValueKind.String
            ? [.. given, new ChatMessage("assistant", completion.AsString())]
            : [.. given, .. Turns(completion)];
    }

    private static ChatMessage AsGiven(ChatMessage message) => message.Role == "assistant" ? message with { Weight = 0 } : message;

    // Two examples of the same prompt: what the conversations share at their beginning.
    private DataExample[] ReadPreference(JsonView view, DataExample example)
    {
        if (view.Find(Sign) is { } sign)
            throw sign.Wrong("given with 'chosen' and 'rejected'", "none: these say what is learnt and what is forgotten");

        if (view.Find(SignedSpans.Key) is { } spans)
            throw spans.Wrong("given with 'chosen' and 'rejected'", "spans in their messages");

        JsonView chosen = Required(view, Chosen), rejected = Required(view, Rejected);
        string? prompt = view.Find(fields.Prompt) is { Element.ValueKind: JsonValueKind.String } text ? text.AsString()
            : view.Find(Instruction) is not null ? Instructed(view) : null;
        JsonView? turns = prompt is null ? view.Find(fields.Prompt) ?? view.Find(Conversations) : null;
        ChatMessage[] system = [.. SystemTurn(view)];
        example = ReadRest(
            view, [Chosen, Rejected, fields.Prompt, System, .. prompt is null ? Array.Empty<string>() : [Instruction, Input],
                .. turns is null ? Array.Empty<string>() : [Conversations]], example);
        (DataExample First, DataExample Second) pair;
        if (system.Length == 0 && turns is null && IsText(chosen) && IsText(rejected))
        {
            string one = chosen.AsString(), other = rejected.AsString();
            int shared = prompt is null ? SharedWords(one, other) : 0;
            prompt ??= one[..shared];
            pair = (
                example with { Prompt = prompt, Completion = one[shared..] },
                example with { Prompt = prompt, Completion = other[shared..] });
        }
        else
        {
            ChatMessage[] given =
                [.. system, .. turns is { } before ? Turns(before) : prompt is null ? [] : [new ChatMessage("user", prompt)]];
            ChatMessage[] one = Conversation(given, chosen), other = Conversation(given, rejected);
            int shared = one.Zip(other).TakeWhile(p => Same(p.First, p.Second)).Count();
            shared = Math.Min(shared, Math.Min(one.Length, other.Length) - 1);
            pair = (
                example with { Messages = [.. one[..shared].Select(AsGiven), .. one[shared..]] },
                example with { Messages = [.. other[..shared].Select(AsGiven), .. other[shared..]] });
        }

        bool same = pair.First.Completion == pair.Second.Completion
            && (pair.First.Messages is not { } a
                || (a.Count == pair.Second.Messages!.Count && a.Zip(pair.Second.Messages).All(p => Same(p.First, p.Second))));
        DataExample learnt = pair.First with { Sign = same ? 0 : 1 };
        return fields.PromptsOnly
            ? [learnt]
            : [learnt, pair.Second with { Sign = same ? 0 : -1, Rejected = true, Place = $"{view.Source}: {Rejected}" }];
    }

    private static bool IsText(JsonView answer) => answer.Element.ValueKind == JsonValueKind.String;

    private static bool Same(ChatMessage a, ChatMessage b) =>
        a.Role == b.Role && a.Content == b.Content && a.More is null && b.More is null;

    // An answer is a text, a message, or messages, before which what is given may stand once more.
    private static ChatMessage[] Conversation(ChatMessage[] given, JsonView answer)
    {
        ChatMessage[] turns = IsText(answer) ? [new ChatMessage("assistant", answer.AsString())]
            : answer.Element.ValueKind == JsonValueKind.Object ? [ChatMessage.Read(answer)]
            : Turns(answer);
        return turns.Length > given.Length && given.Zip(turns).All(p => Same(p.First, p.Second)) ? turns : [.. given, .. turns];
    }

    // Up to where two texts differ, without the word that is begun there.
    private static int SharedWords(string a, string b)
    {
        int shared = a.AsSpan().CommonPrefixLength(b);
        while (shared > 0 && !char.IsWhiteSpace(a[shared - 1]))
        {
            shared--;
        }

        return shared;
    }

    // The input on a line of its own behind the instruction, as LLaMA-Factory joins them.
    private DataExample ReadAlpaca(JsonView view, DataExample example)
    {
        string output = Renamed ? fields.Completion : Output;
        string prompt = Instructed(view), answer = MayLack(view, output) ? "" : Required(view, output).AsString();
        ChatMessage[] before = [.. SystemTurn(view), .. view.Find(History)?.Items().SelectMany(Exchange) ?? []];
        IReadOnlyList<string> read = [Instruction, Input, output, System, History];
        return before.Length == 0
            ? ReadRest(view, read, example with { Prompt = prompt, Completion = answer })
            : ReadRest(view, read, example with
            {
                Messages = [.. before, new ChatMessage("user", prompt),
                    .. MayLack(view, output) ? Array.Empty<ChatMessage>() : [new ChatMessage("assistant", answer)]],
            });
    }

    private string Instructed(JsonView view)
    {
        string instruction = Required(view, Instruction).AsString(), input = view.Find(Input)?.AsString() ?? "";
        return instruction.Length == 0 ? input : input.Length == 0 ? instruction : $"{instruction}\n{input}";
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
    private DataExample ReadRest(JsonView view, IReadOnlyList<string> read, DataExample example)
    {
        Dictionary<string, JsonElement> variables = [];
        List<string> unread = [];
        foreach ((string key, JsonView value) in view.Members())
        {
            if (s_own.Contains(key) || (key == Label && Labelled(view) is not null) || read.Contains(key)
                || !ChatMessage.Says(value.Element))
            {
                continue;
            }

            if (s_variables.Contains(key))
            {
                ChatMessage.CheckTexts(value);
                variables[key] = value.Element;
            }
            else if (s_meaningful.Contains(key))
            {
                string without = string.Join(" and ", read);
                throw new UserException(
                    $"{view.Source}: '{key}' is not supported, and without it the line would mean something else; "
                    + $"expected {without} without it");
            }
            else
            {
                unread.Add(key);
            }
        }

        if (!fields.PromptsOnly && view.Find(SignedSpans.Key) is { } spans)
            example = WithSpans(view, spans, example);

        return example with
        {
            Sign = view.Find(Sign) is { } sign ? ChatMessage.ReadSign(sign) : Labelled(view),
            Weight = view.Find(Weight) is { } weight ? ChatMessage.ReadWeight(weight) : null,
            Truncated = view.Flag("truncated"),
            Variables = variables.Count > 0 ? variables : null,
            Unread = unread.Count > 0 ? unread : example.Unread,
        };
    }

    // Spans count in the answer that the line has as a text; those of a list of messages stand in the messages.
    private DataExample WithSpans(JsonView view, JsonView spans, DataExample example)
    {
        if (example.Shape is DataShape.Messages or DataShape.ShareGpt
            || (example.Shape == DataShape.Conversational && !IsText(Required(view, fields.Completion))))
        {
            throw spans.Wrong("given beside messages", "spans in the message of whose content they are");
        }

        IReadOnlyList<(int Start, int End, int Sign)>? read = SignedSpans.Read(spans, example.Messages?[^1].Content ?? example.Completion);
        if (read != null && view.Find(Weight) is { } weight && ChatMessage.ReadWeight(weight) == 0)
            throw spans.Wrong("given on a line of weight 0", "spans in an answer that is trained on");

        return example.Messages is { } turns
            ? example with { Messages = [.. turns.SkipLast(1), turns[^1] with { Spans = read }] }
            : example with { Spans = read };
    }

    // TRL's unpaired preferences: whether the completion is one to be given.
    private static int? Labelled(JsonView view) => view.Find(Label)?.Element.ValueKind switch
    {
        JsonValueKind.True => 1,
        JsonValueKind.False => -1,
        _ => null,
    };

    private JsonView Required(JsonView view, string field)
    {
        if (view.Find(field) is { } value)
            return value;

        string present = string.Join(", ", view.Members().Select(m => m.Key));
        string found =
            view.Element.TryGetProperty(field, out JsonElement element) && element.ValueKind == JsonValueKind.Null ? "null" : "missing";
        string expected = fields.Shape switch
        {
            DataShape.Auto when Renamed => $"'{fields.Messages}', or '{fields.Prompt}' with '{fields.Completion}'",
            DataShape.Auto =>
                $"'{fields.Prompt}' with '{fields.Completion}', '{fields.Messages}', '{Instruction}' with '{Output}', '{Conversations}', "
                + $"'{Chosen}' with '{Rejected}', or '{Text}'",
            _ => $"the fields of shape {fields.Shape.ToString().ToLowerInvariant()}",
        };
        throw new UserException($"{view.Source}: '{field}' is {found}; expected {expected}; the fields here are: {present}");
    }
}
