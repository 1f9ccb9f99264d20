using System.Text.Json;
using Forgetting.HuggingFace;
using Forgetting.IO;

namespace Forgetting.Data;

/// <summary>An example as its file has it: a prompt with its completion, a conversation, or a text that is learnt whole.</summary>
public sealed record DataExample
{
    /// <summary>Position in the data set, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>File and line (or item of an array), for errors.</summary>
    public required string Place { get; init; }

    /// <summary>The shape of its record.</summary>
    public DataShape Shape { get; init; } = DataShape.Pairs;

    /// <summary>What is given; empty for a conversation.</summary>
    public string Prompt { get; init; } = "";

    /// <summary>What is to be learnt, of a text all of it; empty for a conversation.</summary>
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

    /// <summary>The shape of every record; or auto, where each is recognised by its fields.</summary>
    public DataShape Shape { get; init; } = DataShape.Auto;

    /// <summary>Whether the completion may be missing, where only prompts are wanted.</summary>
    public bool PromptsOnly { get; init; }

    /// <summary>Field of the conversation, an array of <c>{"role", "content"}</c>; it goes before the other two where a line has it.</summary>
    public string Messages { get; init; } = "messages";
}

/// <summary>Reads data sets: one JSON object a line, or one array of objects.</summary>
public static class DataSet
{
    /// <summary>
    /// All examples of a file, in order. Blank lines are passed over. Besides the fields of its <see cref="DataShape"/> a line may have <c>separator</c> (text that
    /// joins prompt and completion), <c>truncated</c> (true: no end-of-text follows) and <see cref="DataExample.Variables"/>; others are <see cref="DataExample.Unread"/>.
    /// </summary>
    /// <exception cref="UserException">
    /// The file is missing or has no example; a line is not JSON; a field is missing or of another type; a line has a key that would change what is to be learnt
    /// and that is not understood. File and line are named.
    /// </exception>
    public static IReadOnlyList<DataExample> Read(string file, DataFields? fields = null)
    {
        var reader = new ExampleReader(fields ?? new DataFields());
        List<DataExample> examples = [];
        foreach (JsonView view in Records(file))
        {
            examples.Add(reader.Read(view, examples.Count));
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
}
