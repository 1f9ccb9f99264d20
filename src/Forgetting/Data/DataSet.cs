using System.Text.Json;
using Forgetting.HuggingFace;
using Forgetting.IO;

namespace Forgetting.Data;

/// <summary>An example as its file has it: a prompt with its completion, or a conversation.</summary>
public sealed record DataExample
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>File and line (or item of an array), for errors.</summary>
    public required string Place { get; init; }

    /// <summary>What is given; empty for a conversation.</summary>
    public string Prompt { get; init; } = "";

    /// <summary>What is to be learnt; empty for a conversation.</summary>
    public string Completion { get; init; } = "";

    /// <summary>What joins prompt and completion; null for one space, unless there is white space at the joint.</summary>
    public string? Separator { get; init; }

    /// <summary>The completion was cut off where it stands, so no end-of-text follows it.</summary>
    public bool Truncated { get; init; }

    /// <summary>The conversation, or null for a prompt with its completion.</summary>
    public IReadOnlyList<ChatMessage>? Messages { get; init; }

    /// <summary>What the line has for a chat template beside the messages: <c>tools</c>, <c>documents</c> and <c>chat_template_kwargs</c>; null where it has none.</summary>
    public Dictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>Keys of the line that nothing reads.</summary>
    public IReadOnlyList<string> Unread { get; init; } = [];
}

/// <summary>Names of the fields to read.</summary>
public sealed record DataFields
{
    /// <summary>Field of the prompt.</summary>
    public string Prompt { get; init; } = "prompt";

    /// <summary>Field of the completion.</summary>
    public string Completion { get; init; } = "completion";

    /// <summary>Whether the completion may be missing, where only prompts are wanted.</summary>
    public bool PromptsOnly { get; init; }

    /// <summary>Field of the conversation, an array of <c>{"role", "content"}</c>; it goes before the other two where a line has it.</summary>
    public string Messages { get; init; } = "messages";
}

/// <summary>Reads data sets: one JSON object a line, or one array of objects.</summary>
public static class DataSet
{
    // What this program itself reads or writes on a line.
    private static readonly HashSet<string> s_own = ["separator", "truncated", "task", "index", "exact"];

    // What Hugging Face's libraries hand to a chat template from beside the messages.
    private static readonly HashSet<string> s_variables = ["tools", "documents", "chat_template_kwargs"];

    // What other programs read on a line and what changes how it is learnt.
    private static readonly HashSet<string> s_meaningful =
        ["weight", "weights", "system", "functions", "function_call", "chosen", "rejected", "images", "image", "audios", "audio", "videos", "video"];

    /// <summary>
    /// All examples of a file, in order. Blank lines are passed over. Besides the fields of <see cref="DataFields"/> a line may have <c>separator</c> (text that
    /// joins prompt and completion), <c>truncated</c> (true: no end-of-text follows) and <see cref="DataExample.Variables"/>; others are <see cref="DataExample.Unread"/>.
    /// </summary>
    /// <exception cref="UserException">
    /// The file is missing or has no example; a line is not JSON; a field is missing or of another type; a line has a key that would change what is to be learnt
    /// and that is not understood. File and line are named.
    /// </exception>
    public static IReadOnlyList<DataExample> Read(string file, DataFields? fields = null)
    {
        fields ??= new DataFields();
        List<DataExample> examples = [];
        foreach (JsonView view in Records(file))
        {
            examples.Add(ReadExample(view, fields, examples.Count));
        }

        return examples.Count > 0 ? examples : throw new UserException($"{file}: no examples; expected a JSON object a line");
    }

    /// <summary>The objects of a file, one a line or in one array; their source is the file with line or item. Blank lines are passed over.</summary>
    /// <exception cref="UserException">The file is missing, or a line is not JSON.</exception>
    internal static IEnumerable<JsonView> Records(string file)
    {
        ReadOnlyMemory<byte> bytes = InputFile.ReadTextBytes(file, "JSON Lines");
        if (bytes.Span.TrimStart(" \t\r\n"u8) is [(byte)'[', ..])
        {
            int item = 0;
            foreach (JsonView view in JsonView.Parse(bytes, file, firstLine: 1).Items())
            {
                yield return view with { Source = $"{file}: item {++item}" };
            }

            yield break;
        }

        int number = 0;
        for (int at = 0; at < bytes.Length; number++)
        {
            int end = bytes.Span[at..].IndexOf((byte)'\n');
            ReadOnlyMemory<byte> line = end < 0 ? bytes[at..] : bytes.Slice(at, end);
            at += line.Length + 1;
            if (line.Span.IndexOfAnyExcept(" \t\r"u8) >= 0)
            {
                yield return JsonView.Parse(line, file, number + 1, $"{file}: line {number + 1}");
            }
        }
    }

    private static DataExample ReadExample(JsonView view, DataFields fields, int index)
    {
        if (view.Find(fields.Messages) is { } messages)
        {
            ChatMessage[] conversation = [.. messages.Items().Select(ChatMessage.Read)];
            return conversation.Length > 0
                ? ReadRest(view, [fields.Messages], new DataExample { Index = index, Place = view.Source, Messages = conversation })
                : throw messages.Wrong("empty", "at least one message");
        }

        return ReadRest(view, [fields.Prompt, fields.Completion], new DataExample
        {
            Index = index,
            Place = view.Source,
            Prompt = Required(view, fields.Prompt, fields),
            Completion = fields.PromptsOnly && view.Find(fields.Completion) is null ? "" : Required(view, fields.Completion, fields),
            Separator = view.Find("separator")?.AsString(),
        });
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

    private static string Required(JsonView view, string field, DataFields fields)
    {
        if (view.Find(field) is { } value)
        {
            return value.AsString();
        }

        string present = string.Join(", ", view.Members().Select(m => m.Key));
        string found = view.Element.TryGetProperty(field, out JsonElement element) && element.ValueKind == JsonValueKind.Null ? "null" : "missing";
        throw new UserException(
            $"{view.Source}: '{field}' is {found}; expected '{fields.Messages}', or '{fields.Prompt}' with '{fields.Completion}'; the fields here are: {present}");
    }
}
