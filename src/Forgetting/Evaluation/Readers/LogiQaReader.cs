using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// LogiQA's text files as its authors publish them (Liu et al., arXiv 2007.08124): for each problem a blank line, the answer's letter, the
/// passage, the question, and four options, which begin with a letter and, mostly, a full stop. As in lm-evaluation-harness the first two
/// characters of an option are dropped, whatever they are, and a space is put behind every full stop.
/// </summary>
internal static class LogiQaReader
{
    private const string Letters = "ABCD";

    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields)
    {
        string[] lines = InputFile.ReadText(path, "text").ReplaceLineEndings("\n").Split('\n');
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
            string text = Line(3 + options.Count, $"option {option}");
            options.Add(Spaced(text[Math.Min(2, text.Length)..]));
        }

        int behind = 3 + Letters.Length;
        if (first + behind < lines.Length && lines[first + behind].Trim().Length > 0)
            throw Wrong(behind, "a blank line behind four options");

        return new TaskDocument($"{path}: line {first + 1}", new TemplateMap
        {
            ["context"] = Spaced(passage),
            ["question"] = Spaced(question),
            ["options"] = options,
            ["gold"] = (long)gold,
        });

        string Line(int offset, string expected) =>
            first + offset < lines.Length && lines[first + offset].Trim() is { Length: > 0 } text ? text : throw Wrong(offset, expected);

        UserException Wrong(int offset, string expected)
        {
            string found = first + offset >= lines.Length ? "the end of the file"
                : lines[first + offset].Trim() is { Length: > 0 } text ? $"\"{(text.Length > 40 ? text[..40] + "…" : text)}\""
                : "a blank line";
            return new UserException($"{path}: line {first + offset + 1}: found {found}, expected {expected}");
        }
    }

    private static string Spaced(string text) => text.Replace(".", ". ", StringComparison.Ordinal).Trim();
}
