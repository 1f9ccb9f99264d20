using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Evaluation.Readers;

/// <summary>Reads a benchmark's file into documents.</summary>
/// <param name="path">The file.</param>
/// <param name="fields">Names and types of the fields that a document must have; used by formats that do not fix them.</param>
/// <returns>The documents in file order.</returns>
/// <exception cref="UserException">A line is malformed; file and line are named.</exception>
internal delegate IEnumerable<TaskDocument> DocumentReader(string path, IReadOnlyDictionary<string, FieldType> fields);

/// <summary>What a field of a JSON document must hold.</summary>
internal enum FieldType
{
    /// <summary>A string.</summary>
    String,

    /// <summary>True or false.</summary>
    Boolean,

    /// <summary>A whole number, or one spelt as a string.</summary>
    Integer,

    /// <summary>A list of strings.</summary>
    Strings,
}

/// <summary>The forms in which benchmarks are published, by the name that task files use.</summary>
internal static class DocumentReaders
{
    public static IReadOnlyDictionary<string, DocumentReader> All { get; } = new Dictionary<string, DocumentReader>
    {
        ["json"] = JsonDocuments.Read,
        ["truthfulqa"] = TruthfulQaReader.Read,
        ["qasc"] = QascReader.Read,
        ["logiqa"] = LogiQaReader.Read,
        ["asdiv"] = AsdivReader.Read,
        ["tydiqa"] = TydiqaReader.Read,
        ["mmlu"] = MmluReader.Read,
        ["text"] = ReadText,
    };

    /// <summary>A whole file as one document with the field <c>text</c>; JSON is refused, whose braces would be scored.</summary>
    private static IEnumerable<TaskDocument> ReadText(string path, IReadOnlyDictionary<string, FieldType> fields) =>
        [new TaskDocument(path, new() { ["text"] = InputFile.ReadPlainText(path) })];
}
