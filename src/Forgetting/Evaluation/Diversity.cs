namespace Forgetting.Evaluation;

/// <summary>How varied a set of generated texts is.</summary>
internal static class Diversity
{
    /// <summary>
    /// distinct-n (Li et al., arXiv 1510.03055): different n-grams over all n-grams, of all texts together.
    /// Words are what white space separates.
    /// </summary>
    /// <param name="texts">The texts.</param>
    /// <param name="n">Words of an n-gram, at least 1.</param>
    /// <returns>A number in (0, 1], or NaN where no text has n words.</returns>
    public static double Distinct(IEnumerable<string> texts, int n)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(n, 1);
        var different = new HashSet<string>(StringComparer.Ordinal);
        long all = 0;
        foreach (string text in texts)
        {
            string[] words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            for (int i = 0; i + n <= words.Length; i++, all++)
            {
                different.Add(string.Join(' ', words, i, n));
            }
        }

        return all == 0 ? double.NaN : (double)different.Count / all;
    }

    /// <summary>
    /// Self-BLEU (Zhu et al., arXiv 1802.01886): the mean over the texts of BLEU with all others as references, as Texygen computes it:
    /// sentences' BLEU of NLTK, equal weights, smoothing method 1. Words are those of sacrebleu's <c>intl</c> tokenizer, Texygen's being
    /// NLTK's. The lower, the more varied.
    /// </summary>
    /// <param name="texts">At least two.</param>
    /// <param name="order">Longest n-grams; 4 where nothing else is said, the paper gives 2 to 5.</param>
    /// <returns>A number from 0 to 1.</returns>
    public static double SelfBleu(IReadOnlyList<string> texts, int order = 4)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(texts.Count, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(order, 1);
        string[][] words = [.. texts.Select(Bleu.Words)];
        return words.Select((text, i) => Bleu.Sentence(text, [.. words.Where((_, other) => other != i)], order)).Average();
    }
}
