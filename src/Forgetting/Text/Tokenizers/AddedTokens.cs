using System.Buffers;
using System.Globalization;
using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>A token that is found in the text as it stands, before any splitting.</summary>
internal sealed record AddedToken(int Id, string Content)
{
    /// <summary>Control token: matched only where the caller allows it, left out by decoding.</summary>
    public bool Special { get; init; }

    /// <summary>Takes the white space before it.</summary>
    public bool StripLeft { get; init; }

    /// <summary>Takes the white space behind it.</summary>
    public bool StripRight { get; init; }

    /// <summary>Not matched inside a word.</summary>
    public bool SingleWord { get; init; }

    /// <summary>Matched in the normalized text.</summary>
    public bool Normalized { get; init; }

    /// <summary>Its spelling is that of the normalized text already; otherwise normalizing changes it as it changes a text.</summary>
    public bool SpeltNormalized { get; init; }
}

/// <summary>Cuts a text at added tokens: the leftmost match, of those the longest.</summary>
internal sealed class AddedTokens
{
    private readonly (string Content, AddedToken Token)[] _tokens;
    private readonly SearchValues<string> _contents;

    /// <summary>A matcher of these spellings.</summary>
    public AddedTokens(IEnumerable<(string Content, AddedToken Token)> tokens)
    {
        // Longest first, so that the first candidate that matches at a place is the longest there.
        _tokens = [.. tokens.Where(t => t.Content.Length > 0).OrderByDescending(t => t.Content.Length)];
        _contents = SearchValues.Create([.. _tokens.Select(t => t.Content)], StringComparison.Ordinal);
    }

    /// <summary>The parts of a text in order: either a stretch of plain text (Token null) or a token.</summary>
    public void Split(string text, List<(int Start, int Length, AddedToken? Token)> parts)
    {
        int done = 0, at = 0;
        while (_tokens.Length > 0 && at < text.Length)
        {
            int found = text.AsSpan(at).IndexOfAny(_contents);
            if (found < 0)
                break;

            int start = at + found;
            (string content, AddedToken token) = _tokens.First(t => text.AsSpan(start).StartsWith(t.Content, StringComparison.Ordinal));
            int end = start + content.Length;
            at = end;
            if (token.SingleWord && (WordEndsAt(text, start) || WordStartsAt(text, end)))
                continue;

            while (token.StripLeft && start > done && char.IsWhiteSpace(text[start - 1]))
            {
                start--;
            }

            while (token.StripRight && end < text.Length && char.IsWhiteSpace(text[end]))
            {
                end++;
            }

            if (start > done)
                parts.Add((done, start - done, null));

            parts.Add((start, end - start, token));
            done = at = end;
        }

        if (done < text.Length)
            parts.Add((done, text.Length - done, null));
    }

    private static bool WordEndsAt(string text, int end) =>
        end > 0 && Rune.DecodeLastFromUtf16(text.AsSpan(0, end), out Rune rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool WordStartsAt(string text, int start) =>
        start < text.Length && Rune.DecodeFromUtf16(text.AsSpan(start), out Rune rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool IsWord(Rune rune) =>
        Rune.IsLetterOrDigit(rune)
        || Rune.GetUnicodeCategory(rune) is UnicodeCategory.ConnectorPunctuation or UnicodeCategory.NonSpacingMark
            or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark or UnicodeCategory.LetterNumber;
}
