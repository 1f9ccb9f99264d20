using System.Globalization;

namespace Forgetting.Reports;

/// <summary>One metric of methods that ran with several seeds, each against the first over the seeds that both have.</summary>
internal sealed class SeedComparison
{
    /// <summary>What the numbers mean, for people.</summary>
    public const string Note =
        "The metric after the last step. Differences are to the first row, over the seeds that both have: their mean ± standard error, "
        + "the seeds that are higher and lower, "
        + "the 95 % interval of the mean by Student's t, and p of the two-sided sign test; "
        + "neither is corrected for the number of comparisons.";

    // Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom.
    private static readonly double[] s_student =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
        2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];

    private readonly List<(string Name, double[] Values, PairedDifference? Difference, double HalfWidth)> _methods = [];

    private SeedComparison(string metric, string baseline) => (Metric, Baseline) = (metric, baseline);

    /// <summary>The metric.</summary>
    public string Metric { get; }

    /// <summary>Name of the method that the others are compared with.</summary>
    public string Baseline { get; }

    /// <summary>Column heads.</summary>
    public IReadOnlyList<string> Header => [Metric, "mean", "difference", "95 % interval", "p"];

    /// <summary>Cells as they are to be read.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Rows => [.. _methods.Select(m => (IReadOnlyList<string>)
    [
        m.Name,
        Statistics.MeanAndDeviation(m.Values, Number),
        m.Difference is { } d ? d.ToText("0.0000") : "–",
        m.Difference is { } of ? $"{Number(of.Mean - m.HalfWidth)} to {Number(of.Mean + m.HalfWidth)}" : "–",
        m.Difference is { } test ? Number(test.P) : "–",
    ])];

    /// <summary>Each method's difference with its interval.</summary>
    public IReadOnlyList<Interval> Intervals =>
        [.. _methods.Where(m => m.Difference != null).Select(m =>
            new Interval(m.Name, m.Difference!.Value.Mean, m.Difference.Value.Mean - m.HalfWidth, m.Difference.Value.Mean + m.HalfWidth))];

    /// <summary>The metrics that at least two methods have for two seeds in common.</summary>
    /// <param name="groups">Runs that differ in the seed alone; the first is what the others are compared with.</param>
    public static IReadOnlyList<SeedComparison> From(IReadOnlyList<RunGroup> groups)
    {
        var comparisons = new List<SeedComparison>();
        foreach (string metric in groups.SelectMany(g => g.Runs).SelectMany(r => r.LastEvaluation.Keys).Distinct())
        {
            Dictionary<ulong, double> first = Values(groups[0], metric);
            var comparison = new SeedComparison(metric, groups[0].Name);
            foreach (RunGroup group in groups)
            {
                Dictionary<ulong, double> values = Values(group, metric);
                double[] differences = [.. values.Where(v => first.ContainsKey(v.Key)).Select(v => v.Value - first[v.Key])];
                if (values.Count == 0)
                    continue;

                bool paired = group != groups[0] && differences.Length > 1;
                PairedDifference? difference = paired ? Statistics.Paired(differences) : null;
                comparison._methods.Add((group.Label, [.. values.Values], difference, paired
                    ? Student95(differences.Length - 1) * difference!.Value.StandardError
                    : 0));
            }

            if (comparison.Intervals.Count > 0)
                comparisons.Add(comparison);
        }

        return comparisons;
    }

    /// <summary>Two-sided 95 % point of Student's t.</summary>
    internal static double Student95(int degrees)
    {
        if (degrees <= s_student.Length)
            return s_student[degrees - 1];

        // Two terms of Cornish and Fisher's expansion in 1/degrees.
        const double z = 1.959964, cube = z * z * z;
        return z + ((cube + z) / (4.0 * degrees)) + (((5 * cube * z * z) + (16 * cube) + (3 * z)) / (96.0 * degrees * degrees));
    }

    // Of runs with the same seed the last.
    private static Dictionary<ulong, double> Values(RunGroup group, string metric) => group.Runs
        .Where(r => r.LastEvaluation.ContainsKey(metric)).GroupBy(r => r.Options.Seed).ToDictionary(
            g => g.Key, g => g.Last().LastEvaluation[metric]);

    private static string Number(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);
}
