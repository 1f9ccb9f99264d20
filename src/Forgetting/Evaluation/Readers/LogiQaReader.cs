using Forgetting.HuggingFace.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// LogiQA's text files as its authors publish them (Liu et al., arXiv 2007.08124): for each problem a blank line, the answer's letter, the passage, the
/// question, and four options that begin with "A." to "D.".
/// </summary>
internal static class LogiQaReader
{
    private const string Letters = "ABCD";

    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields)
    {
        string[] lines = DocumentReaders.ReadAllText(path).ReplaceLineEndings("\n").Split('\n');
        for (int at = 0; at < lines.Length;)
        {
            if (string.IsNullOrWhiteSpace(lines[at]))
            {
                at++;
                continue;
            }

            yield return Problem(lines, at, path);
            at += 3 + Letters.Length;
        }
    }

    private static TaskDocument Problem(string[] lines, int first, string path)
    {
        string letter = lines[first].Trim().ToUpperInvariant();
        int gold = letter.Length == 1 ? Letters.IndexOf(letter[0], StringComparison.Ordinal) : -1;
        if (gold < 0)
            throw Wrong(0, "the answer's letter, a to d");

        string passage = Line(1, "a passage"), question = Line(2, "a question");
        List<object?> options = [];
        foreach (char option in Letters)
        {
            int offset = 3 + options.Count;
            string text = Line(offset, $"an option that begins with \"{option}.\"");
            if (!text.StartsWith($"{option}.", StringComparison.OrdinalIgnoreCase))
                throw Wrong(offset, $"an option that begins with \"{option}.\"");

            options.Add(text[2..].Trim());
        }

        return new TaskDocument($"{path}: line {first + 1}", new TemplateMap
        {
            ["context"] = passage,
            ["question"] = question,
            ["options"] = options,
            ["gold"] = (long)gold,
        });

        string Line(int offset, string expected) =>
            first + offset < lines.Length && lines[first + offset].Trim() is { Length: > 0 } text ? text : throw Wrong(offset, expected);

        UserException Wrong(int offset, string expected)
        {
            string found = first + offset >= lines.Length ? "the end of the file" : lines[first + offset].Trim() is { Length: > 0 } text ? $"\"{(text.Length > 40 ? text[..40] + "…" : text)}\"" : "a blank line";
            return new UserException($"{path}: line {first + offset + 1}: found {found}, expected {expected}");
        }
    }
}
