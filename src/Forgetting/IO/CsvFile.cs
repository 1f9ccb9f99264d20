using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Comma-separated values (RFC 4180), or values with another separator. Quoted fields may hold commas, quotes and line ends. A damaged file
/// is refused by line; the library Sep reads on over text behind a closing quote and over quotes that are never closed, and lets a quote
/// within an unquoted field take in the lines that follow.
/// </summary>
internal static class CsvFile
{
    /// <summary>The records of a file that begins with column names, by these, with the line at which each begins.</summary>
    /// <exception cref="UserException">The file is unreadable or empty, a record has more or fewer fields than the header, or a
    /// quote is out of place.</exception>
    public static IEnumerable<(int Line, Dictionary<string, string> Fields)> Read(string path) =>
        Read(InputFile.ReadText(path, "CSV"), path, ',');

    /// <summary>The records of a text that begins with column names, by these, with the line at which each begins.</summary>
    /// <param name="path">The file that the text is from, for errors.</param>
    /// <param name="separator">What stands between two fields.</param>
    /// <exception cref="UserException">The text is empty, two columns have one name, a record has more or fewer fields than the header, or
    /// a quote is out of place.</exception>
    public static IEnumerable<(int Line, Dictionary<string, string> Fields)> Read(string text, string path, char separator)
    {
        string[]? header = null;
        foreach ((int line, List<string> fields) in Records(text, path, separator))
        {
            if (header is null)
            {
                header = [.. fields];
                if (header.GroupBy(name => name).FirstOrDefault(same => same.Count() > 1) is { } twice)
                    throw new UserException($"{path}: line {line}: there are {twice.Count()} columns named \"{twice.Key}\", expected one");

                continue;
            }

            if (fields.Count != header.Length)
                throw new UserException($"{path}: line {line}: {fields.Count} fields, expected the header's {header.Length}");

            yield return (line, header.Zip(fields).ToDictionary(pair => pair.First, pair => pair.Second));
        }

        if (header is null)
            throw new UserException($"{path}: empty; expected a line of column names");
    }

    /// <summary>The records of a file without column names, with the line at which each begins.</summary>
    /// <exception cref="UserException">The file is unreadable, a record has more or fewer fields than <paramref name="columns"/>, or a
    /// quote is out of place.</exception>
    public static IEnumerable<(int Line, IReadOnlyList<string> Fields)> Read(string path, int columns)
    {
        foreach ((int line, List<string> fields) in Records(InputFile.ReadText(path, "CSV"), path, ','))
        {
            yield return fields.Count == columns
                ? (line, fields)
                : throw new UserException($"{path}: line {line}: {fields.Count} fields, expected {columns}");
        }
    }

    private static IEnumerable<(int Line, List<string> Fields)> Records(string text, string path, char separator)
    {
        int line = 1;
        for (int at = 0; at < text.Length;)
        {
            int start = line;
            List<string> fields = [];
            while (true)
            {
                fields.Add(Field(text, path, separator, ref at, ref line));
                if (at == text.Length || text[at] != separator)
                    break;

                at++;
            }

            if (at < text.Length && text[at] == '\r')
                at++;

            if (at < text.Length)
            {
                at++;
                line++;
            }

            // A blank line is no record.
            if (fields is not [""])
                yield return (start, fields);
        }
    }

    // One field; `at` ends at the comma, line end or end of text behind it.
    private static string Field(string text, string path, char separator, ref int at, ref int line)
    {
        if (at == text.Length || text[at] != '"')
        {
            int start = at;
            while (at < text.Length && text[at] != separator && text[at] != '\n'
                && !(text[at] == '\r' && at + 1 < text.Length && text[at + 1] == '\n'))
            {
                at++;
            }

            return text[start..at];
        }

        int opened = line;
        StringBuilder value = new();
        for (at++; at < text.Length; at++)
        {
            if (text[at] == '"' && (at + 1 == text.Length || text[at + 1] != '"'))
            {
                at++;
                return at == text.Length || text[at] == separator || text[at] is '\n' or '\r'
                    ? value.ToString()
                    : throw new UserException(
                        $"{path}: line {line}: found '{text[at]}' behind a closing quote, "
                        + $"expected {(separator == ',' ? "a comma" : "a tab")} or the end of the line");
            }

            at += text[at] == '"' ? 1 : 0;
            line += text[at] == '\n' ? 1 : 0;
            value.Append(text[at]);
        }

        throw new UserException($"{path}: line {opened}: a quoted field that is never closed");
    }
}
