namespace Forgetting.Evaluation;

/// <summary>Runs of n words.</summary>
internal static class NGrams
{
    /// <summary>How often each n-gram occurs; empty where there are fewer than n words.</summary>
    public static Dictionary<string, int> Count(IReadOnlyList<string> words, int n)
    {
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        for (int i = 0; i + n <= words.Count; i++)
        {
            string gram = string.Join(' ', words.Skip(i).Take(n));
            counts[gram] = counts.GetValueOrDefault(gram) + 1;
        }

        return counts;
    }

    /// <summary>n-grams that two counts have in common, each as often as it is in both.</summary>
    public static int Common(Dictionary<string, int> one, Dictionary<string, int> other) =>
        one.Sum(pair => Math.Min(pair.Value, other.GetValueOrDefault(pair.Key)));
}
