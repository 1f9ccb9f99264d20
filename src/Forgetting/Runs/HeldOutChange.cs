using System.Globalization;
using Forgetting.Evaluation;

namespace Forgetting.Runs;

/// <summary>Losses of the same held-out examples under two models.</summary>
public sealed record HeldOutChange
{
    // Below it a difference is spoken of as one.
    private const double Level = 0.05;

    /// <summary>Mean over the response tokens of the examples that both have, under the first model, nats.</summary>
    public required double From { get; init; }

    /// <summary>The same under the second.</summary>
    public required double To { get; init; }

    /// <summary>Examples that both have.</summary>
    public required int Examples { get; init; }

    /// <summary>Of these, those of a lower loss under the second model.</summary>
    public required int Better { get; init; }

    /// <summary>Those of a higher one.</summary>
    public required int Worse { get; init; }

    /// <summary>p of a paired permutation test of the difference of the means, two-sided (<see cref="PairedTests.Permutation"/>).</summary>
    public required double PValue { get; init; }

    /// <summary>Whether the second model's loss is higher by more than chance.</summary>
    internal bool Rose => PValue < Level && To > From;

    /// <summary>Whether it is lower by more than chance.</summary>
    internal bool Fell => PValue < Level && To < From;

    /// <summary>The test in words: p, and how many examples have a higher loss, or a lower one where the mean is lower.</summary>
    internal string Test => string.Create(
        CultureInfo.InvariantCulture,
        $"{(PValue < 0.0001 ? "p < 0.0001" : $"p = {PValue:0.####}")}, {(To > From ? Worse : Better):N0} of {Examples:N0} examples "
            + $"{(To > From ? "higher" : "lower")}");

    /// <summary>Compares two measurements; null where they have no example in common.</summary>
    internal static HeldOutChange? Between(IReadOnlyList<HeldOutExample> first, IReadOnlyList<HeldOutExample> second) =>
        Between([first], [second]);

    /// <summary>
    /// Compares the means of several measurements of either of two methods, such as one for each seed; null
    /// where they have no example in common.
    /// </summary>
    internal static HeldOutChange? Between(
        IReadOnlyList<IReadOnlyList<HeldOutExample>> first, IReadOnlyList<IReadOnlyList<HeldOutExample>> second)
    {
        Dictionary<string, (int Tokens, double Loss)> from = ByExample(first), to = ByExample(second);
        (int Tokens, double From, double To)[] pairs =
            [.. from.Where(pair => to.ContainsKey(pair.Key)).Select(pair => (pair.Value.Tokens, pair.Value.Loss, to[pair.Key].Loss))];
        double tokens = pairs.Sum(p => (double)p.Tokens);
        return pairs.Length == 0 ? null : new HeldOutChange
        {
            From = pairs.Sum(p => p.Tokens * p.From) / tokens,
            To = pairs.Sum(p => p.Tokens * p.To) / tokens,
            Examples = pairs.Length,
            Better = pairs.Count(p => p.To < p.From),
            Worse = pairs.Count(p => p.To > p.From),

            // Weighted by tokens, so that what is tested is the difference of the means above.
            PValue = PairedTests.Permutation([.. pairs.Select(p => p.Tokens * (p.To - p.From))]),
        };
    }

    // The mean of each example over the measurements that have it. Of examples with the same tokens the n-th of one is the n-th of another.
    private static Dictionary<string, (int Tokens, double Loss)> ByExample(IReadOnlyList<IReadOnlyList<HeldOutExample>> measurements) =>
        measurements
            .SelectMany(lines => lines.GroupBy(e => e.Hash)
                .SelectMany(same => same.Select((e, n) => (Key: string.Create(CultureInfo.InvariantCulture, $"{e.Hash} {n}"), Example: e))))
        .GroupBy(e => e.Key)
        .ToDictionary(same => same.Key, same => (same.First().Example.Tokens, same.Average(e => e.Example.Loss)));
}
