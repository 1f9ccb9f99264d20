namespace Forgetting.Evaluation;

/// <summary>How varied a set of generated texts is.</summary>
public static class Diversity
{
    /// <summary>
    /// distinct-n (Li et al., arXiv 1510.03055): different n-grams over all n-grams, of all texts together. Words are what white space separates.
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
}
