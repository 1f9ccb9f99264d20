using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text;

namespace Forgetting.Data;

/// <summary>An example as its file has it: a prompt with its completion, a conversation, or a text that is learnt whole.</summary>
internal sealed record DataExample
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

    /// <summary>What becomes of all of it: 1 it is learnt, −1 forgotten, 0 neither; null where its messages or its scores say.</summary>
    public int? Sign { get; init; }

    /// <summary>As how many tokens each of its response tokens counts, where its message does not say; null for one.</summary>
    public double? Weight { get; init; }

    /// <summary>Stretches of the completion with a sign of their own (<see cref="ChatMessage.Spans"/>); null for none.</summary>
    public IReadOnlyList<(int Start, int End, int Sign)>? Spans { get; init; }

    /// <summary>The completion as an assistant's turn, with the record's sign, weight and spans.</summary>
    public ChatMessage Answer => new("assistant", Completion) { Sign = Sign, Weight = Weight, Spans = Spans };

    /// <summary>Whether it is the rejected answer of a record whose chosen one is the example before.</summary>
    public bool Rejected { get; init; }

    /// <summary>
    /// The conversation with the record's sign on every answer that has none of its own, and its weight times theirs;
    /// null for a prompt with its completion.
    /// </summary>
    public IReadOnlyList<ChatMessage>? Turns => Sign is null && Weight is null ? Messages
        : Messages?.Select(m =>
            m.Role == "assistant" ? m with { Sign = m.Sign ?? Sign, Weight = Weight is null ? m.Weight : (m.Weight ?? 1) * Weight } : m)
            .ToArray();

    /// <summary>Whether its signs or its weight say that none of it is trained on.</summary>
    public bool IsLeftOut =>
        Weight == 0
        || (Turns is { } turns ? turns.Any(m => m.Role == "assistant" && m.Sign == 0) && !turns.Any(m => m.IsTrained) : !Answer.IsTrained);

    /// <summary>
    /// What the line has for a chat template beside the messages: <c>tools</c>, <c>documents</c> and
    /// <c>chat_template_kwargs</c>; null where it has none.
    /// </summary>
    public Dictionary<string, JsonElement>? Variables { get; init; }

    /// <summary>Keys of the line that nothing reads.</summary>
    public IReadOnlyList<string> Unread { get; init; } = [];
}

/// <summary>Names of the fields to read.</summary>
internal sealed record DataFields
{
    /// <summary>Field of the prompt.</summary>
    public string Prompt { get; init; } = "prompt";

    /// <summary>Field of the completion.</summary>
    public string Completion { get; init; } = "completion";

    /// <summary>The shape of every record; or auto, where each is recognised by its fields.</summary>
    public DataShape Shape { get; init; } = DataShape.Auto;

    /// <summary>Whether the completion may be missing, where only prompts are wanted.</summary>
    public bool PromptsOnly { get; init; }

    /// <summary>
    /// Field of the conversation, an array of <c>{"role", "content"}</c>; it goes before the other two where a line has it.
    /// </summary>
    public string Messages { get; init; } = "messages";
}

/// <summary>Reads data sets of any format, and folders of them.</summary>
internal static class DataSet
{
    /// <summary>
    /// All examples of a file or folder, in order. Blank lines are passed over. Besides the fields of its <see cref="DataShape"/>
    /// a line may have <c>weight</c>, <c>sign</c>, <c>spans</c> (signs of stretches of an answer that is a text of the line),
    /// <c>label</c> (true: sign 1; false: −1), <c>separator</c> (text that joins prompt and completion),
    /// <c>truncated</c> (true: no end-of-text follows) and <see cref="DataExample.Variables"/>; others are
    /// <see cref="DataExample.Unread"/>.
    /// </summary>
    /// <exception cref="UserException">
    /// The file is missing or has no example; a record is malformed; a field is missing or of another type; a line has a key that would
    /// change what is to be learnt and that is not understood. File and line are named.
    /// </exception>
    public static IReadOnlyList<DataExample> Read(string file, DataFields? fields = null) =>
        [.. StreamSome(file, fields ?? new DataFields())];

    /// <summary>The examples of <see cref="Read"/> one at a time.</summary>
    internal static IEnumerable<DataExample> StreamSome(string file, DataFields fields)
    {
        bool any = false;
        foreach (DataExample example in Stream(file, fields))
        {
            any = true;
            yield return example;
        }

        if (!any)
            throw new UserException($"{file}: no examples; expected a record a line or row");
    }

    /// <summary>The examples of <see cref="Read"/> one at a time; none of an empty file.</summary>
    internal static IEnumerable<DataExample> Stream(string file, DataFields fields)
    {
        var reader = new ExampleReader(fields);
        return Records(file).SelectMany(reader.Read).Select((example, i) => example with { Index = i });
    }

    /// <summary>
    /// The records of a file, or of the data files of a folder one behind the other (<see cref="DataFolder.Files"/>), in any
    /// format (<see cref="RecordFile"/>).
    /// </summary>
    /// <exception cref="UserException">A file is missing, damaged or of another format, or a record is malformed.</exception>
    internal static IEnumerable<JsonView> Records(string path) => DataFolder.Files(path).SelectMany(RecordFile.Read);
}
