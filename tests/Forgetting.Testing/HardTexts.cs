namespace Forgetting.Testing;

/// <summary>Generated texts of the kinds that tokenizers get wrong.</summary>
public static class HardTexts
{
    private static readonly string[] s_snippets =
    [
        "👩‍👩‍👧‍👦", "🇫🇷", "👍🏽", "😀😀", "☂️", "e\u0301", "a\u0323\u0308", "각", "\u1112\u1161\u11ab", "\r\n", "\n", "\r", "\n\n\n",
        "\t", " ", "  ", "   ", "\u00A0", "\u3000", "\u0085", "\u2028", "123", "1234567", "٣٤٥", "²", "Ⅷ", "½", "𝟘𝟙𝟚", "𝒜𝓑",
        "𐐷𐐏", "𠮷𠮶", "𒀀", "مرحبا", "السَّلَام", "你好", "世界。", "こんにちは", "ไทย", "हिन्दी", "'s", "'LL", "'Re", "'", "''", "don't",
        "I'M", "x", "Hello", " world", "ﬁ", "Å", "ß", "ŉ", "\0", "\u0007", "\u200D", "\uFEFF", "\uFDD0", "\uD83D", "\uDE00",
        "<s>", "</s>", "<|endoftext|>", "<0x41>", "▁", "Ġ", "()", "...", "!?", "=>", "_", "\\", "-", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\uE000",
    ];

    /// <summary>The kinds one by one, then mixtures of them.</summary>
    public static IEnumerable<string> All()
    {
        Random random = new(20250309);
        foreach (string snippet in s_snippets)
        {
            yield return snippet;
        }

        for (int i = 0; i < 400; i++)
        {
            yield return string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => s_snippets[random.Next(s_snippets.Length)]));
        }
    }
}
