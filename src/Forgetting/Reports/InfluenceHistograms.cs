using Forgetting.Methods.TokenForgetting;

namespace Forgetting.Reports;

/// <summary>A histogram as TensorBoard has it.</summary>
/// <param name="Values">The values, at least one, all finite.</param>
internal sealed record Distribution(IReadOnlyList<double> Values)
{
    private const int Buckets = 40;

    /// <summary>Upper ends of buckets of equal width, the last of which ends in the largest value, and what each holds.</summary>
    public IReadOnlyList<(double Limit, double Count)> Count()
    {
        double low = Values.Min(), high = Values.Max(), width = (high - low) / Buckets;
        if (!(width > 0))
            return [(high, Values.Count)];

        var counts = new double[Buckets];
        foreach (double value in Values)
        {
            counts[Math.Clamp((int)((value - low) / width), 0, Buckets - 1)]++;
        }

        return [.. counts.Select((count, i) => (i == Buckets - 1 ? high : low + ((i + 1) * width), count))];
    }
}

/// <summary>The influence of a run's response tokens, in nats, by what became of them.</summary>
internal static class InfluenceHistograms
{
    /// <summary>One for all tokens, and one for each sign that there is; none where the run has scored nothing.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <exception cref="Core.UserException">A line of the scores is malformed.</exception>
    /// <exception cref="IOException">The scores cannot be read.</exception>
    public static IReadOnlyList<(string Tag, Distribution Values)> Read(string folder)
    {
        string path = Path.Combine(folder, TokenForgettingMethod.ScoresName);
        if (!File.Exists(path))
            return [];

        (string Tag, List<double> Values)[] groups =
            [("influence/all_tokens", []), ("influence/tokens_to_learn", []), ("influence/negative_tokens", [])];
        foreach (ExampleScores example in IO.JsonLines.Each<ExampleScores>(path))
        {
            for (int t = 0; t < example.Influence.Length; t++)
            {
                double influence = example.Influence[t];
                if (example.Response[t] == 0 || !double.IsFinite(influence))
                    continue;

                groups[0].Values.Add(influence);
                if (example.Sign[t] != 0)
                    groups[example.Sign[t] > 0 ? 1 : 2].Values.Add(influence);
            }
        }

        return [.. groups.Where(group => group.Values.Count > 0).Select(group => (group.Tag, new Distribution(group.Values)))];
    }
}
