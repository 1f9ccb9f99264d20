using System.Globalization;
using System.Text;

namespace Forgetting.Core;

/// <summary>
/// A message as one line that a terminal can show: whatever it quotes from a file, it stays short and does nothing to the terminal.
/// </summary>
internal static class OneLine
{
    private const int LongestQuote = 80, Longest = 2000;

    /// <summary>The message with control characters escaped, quotes cut at 80 characters, and all of it at 2,000.</summary>
    public static string Of(string? message)
    {
        string line = CutQuotes(Escaped(message ?? ""));
        return line.Length <= Longest ? line : Cut(line, Longest);
    }

    /// <summary>At most <paramref name="most"/> characters of a text, with a mark where something is missing.</summary>
    private static string Cut(string text, int most) =>
        text[..(char.IsHighSurrogate(text[most - 2]) ? most - 2 : most - 1)] + "…";

    private static string Escaped(string text)
    {
        StringBuilder? escaped = null;
        for (int i = 0; i < text.Length; i++)
        {
            bool shown = IsShown(text, i);
            if (!shown && escaped is null)
                escaped = new StringBuilder(text, 0, i, text.Length + 16);

            if (shown)
                escaped?.Append(text[i]);
            else
                _ = Escape(escaped!, text[i]);
        }

        return escaped?.ToString() ?? text;
    }

    private static StringBuilder Escape(StringBuilder text, char unit) => unit switch
    {
        '\n' => text.Append("\\n"),
        '\r' => text.Append("\\r"),
        '\t' => text.Append("\\t"),
        _ => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)unit:x4}"),
    };

    // Format characters turn the direction of a line or hide parts of it.
    private static bool IsShown(string text, int at) => char.GetUnicodeCategory(text[at]) switch
    {
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => false,
        UnicodeCategory.Surrogate =>
            at + 1 < text.Length && char.IsSurrogatePair(text[at], text[at + 1]) || at > 0 && char.IsSurrogatePair(text[at - 1], text[at]),
        _ => true,
    };

    private static string CutQuotes(string text)
    {
        if (text.Length <= LongestQuote || !text.Contains('"', StringComparison.Ordinal))
            return text;

        string[] parts = text.Split('"');

        // Every second part is quoted; behind the last mark of an odd number nothing is.
        for (int i = 1; i + 1 < parts.Length; i += 2)
        {
            if (parts[i].Length > LongestQuote)
                parts[i] = Cut(parts[i], LongestQuote);
        }

        return string.Join('"', parts);
    }
}
