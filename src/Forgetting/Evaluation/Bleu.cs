using System.Globalization;
using System.Text;

namespace Forgetting.Evaluation;

/// <summary>
/// BLEU of single sentences (Papineni et al., ACL 2002): brevity penalty times the geometric mean of the n-gram precisions.
/// </summary>
internal static class Bleu
{
    private const int Order = 4;

    /// <summary>
    /// BLEU-4 against one reference as sacrebleu computes it for lm-evaluation-harness: tokenizer <c>intl</c>, exponential
    /// smoothing, no effective order. The k-th order without a match counts 1/(2ᵏ·total). 0 for an answer of fewer than four words,
    /// or without a word of the reference.
    /// </summary>
    /// <returns>A number from 0 to 100.</returns>
    public static double Sentence(string answer, string reference)
    {
        string[] found = Words(answer), wanted = Words(reference);
        double logs = 0, smoothing = 1;
        bool any = false;
        for (int n = 1; n <= Order; n++)
        {
            int total = found.Length - n + 1;
            if (total < 1)
                return 0;

            int common = NGrams.Common(NGrams.Count(found, n), NGrams.Count(wanted, n));
            any |= common > 0;
            smoothing *= common == 0 ? 2 : 1;
            logs += Math.Log(common == 0 ? 1 / (smoothing * total) : (double)common / total);
        }

        return any ? 100 * Brevity(found.Length, wanted.Length) * Math.Exp(logs / Order) : 0;
    }

    /// <summary>
    /// BLEU against several references as NLTK's <c>sentence_bleu</c> has it, with equal weights and its smoothing method 1: an order
    /// without a match counts 0.1 matches. The brevity penalty takes the reference nearest in length, the shorter of two as near.
    /// </summary>
    /// <param name="answer">Words.</param>
    /// <param name="references">Words of each reference, at least one.</param>
    /// <param name="order">Longest n-grams.</param>
    /// <returns>A number from 0 to 1; 0 where no word is in any reference.</returns>
    public static double Sentence(IReadOnlyList<string> answer, IReadOnlyList<IReadOnlyList<string>> references, int order)
    {
        double logs = 0;
        for (int n = 1; n <= order; n++)
        {
            Dictionary<string, int> most = [];
            foreach ((string gram, int count) in references.SelectMany(reference => NGrams.Count(reference, n)))
            {
                most[gram] = Math.Max(count, most.GetValueOrDefault(gram));
            }

            int common = NGrams.Common(NGrams.Count(answer, n), most);
            if (n == 1 && common == 0)
                return 0;

            logs += Math.Log((common == 0 ? 0.1 : common) / Math.Max(1, answer.Count - n + 1));
        }

        int nearest = references.Select(reference => reference.Count)
            .OrderBy(length => Math.Abs(length - answer.Count))
            .ThenBy(length => length)
            .First();
        return Brevity(answer.Count, nearest) * Math.Exp(logs / order);
    }

    /// <summary>
    /// Words as sacrebleu's <c>intl</c> tokenizer (mteval-v14) makes them: punctuation apart from what is no digit before or behind it,
    /// symbols apart from everything. So "1,000" stays one word, and so does the full stop behind a number that ends the text.
    /// </summary>
    public static string[] Words(string text)
    {
        List<Rune> runes = [.. text.TrimEnd().EnumerateRunes()];
        runes = Part(runes, (one, next) => !IsNumber(one) && IsPunctuation(next), before: false);
        runes = Part(runes, (one, next) => IsPunctuation(one) && !IsNumber(next), before: true);
        StringBuilder parted = new();
        foreach (Rune rune in runes)
        {
            parted.Append(IsSymbol(rune) ? $" {rune} " : rune.ToString());
        }

        return parted.ToString().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
    }

    private static double Brevity(int length, int reference) => length >= reference ? 1 : Math.Exp(1 - ((double)reference / length));

    // Spaces between two runes that match, and before the first or behind the second. As in a regular expression's
    // replacement, no rune is part of two matches.
    private static List<Rune> Part(List<Rune> runes, Func<Rune, Rune, bool> matches, bool before)
    {
        var space = new Rune(' ');
        List<Rune> parted = [];
        for (int i = 0; i < runes.Count; i++)
        {
            if (i + 1 == runes.Count || !matches(runes[i], runes[i + 1]))
            {
                parted.Add(runes[i]);
                continue;
            }

            parted.AddRange(before ? [space, runes[i], space, runes[i + 1]] : [runes[i], space, runes[i + 1], space]);
            i++;
        }

        return parted;
    }

    private static bool IsNumber(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is >= UnicodeCategory.DecimalDigitNumber and <= UnicodeCategory.OtherNumber;

    private static bool IsPunctuation(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation;

    private static bool IsSymbol(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is >= UnicodeCategory.MathSymbol and <= UnicodeCategory.OtherSymbol;
}
