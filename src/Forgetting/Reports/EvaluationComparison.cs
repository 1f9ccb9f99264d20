using System.Globalization;
using Forgetting.Core;
using Forgetting.Evaluation;

namespace Forgetting.Reports;

/// <summary>A metric of one evaluation beside that of the first.</summary>
/// <param name="Folder">The evaluation's folder.</param>
/// <param name="Value">The metric over all of the evaluation's items; null where it has no such metric.</param>
/// <param name="StandardError">Its standard error, or null.</param>
/// <param name="Items">Items it is over, or null where that is not known.</param>
/// <param name="Difference">Mean over the items that both have of this score minus the first's; without items the difference of the
/// values; null for the first.</param>
/// <param name="Paired">Items that both have; null where items were not logged.</param>
/// <param name="Better">Of these, how many have a higher score than in the first.</param>
/// <param name="Worse">How many have a lower one.</param>
/// <param name="Test">Name of the test, or null where there are no pairs.</param>
/// <param name="PValue">Its p.</param>
internal sealed record ComparedValue(
    string Folder, double? Value, double? StandardError, int? Items, double? Difference, int? Paired, int? Better, int? Worse, string? Test,
    double? PValue);

/// <summary>A metric of several evaluations.</summary>
/// <param name="Task">Name of the task.</param>
/// <param name="Metric">Name of the metric.</param>
/// <param name="Filter">How answers were taken from text.</param>
/// <param name="Runs">The evaluations, in the order given.</param>
internal sealed record ComparedMetric(string Task, string Metric, string Filter, IReadOnlyList<ComparedValue> Runs);

/// <summary>Several evaluations side by side, each tested against the first over the documents that both have.</summary>
internal static class EvaluationComparison
{
    private const string McNemar = "McNemar mid-p";
    private const string Permutation = "paired permutation";

    private static readonly string[] s_paired = ["difference", "p", "documents"];

    private static readonly string[] s_notes =
    [
        "Differences are to the first evaluation, over the documents that both have (matched by their hash); "
            + "a value is over all of its own items.",
        "p: for right-or-wrong scores McNemar's test, mid-p version (Fagerland, Lydersen and Laake 2013); "
            + "for others a paired permutation test of the mean difference, exact up to 16 "
            + $"documents that differ, else of {PairedTests.Samples:N0} random assignments (Dror et al., ACL 2018). Two-sided, "
            + "and not corrected for the number of comparisons.",
    ];

    /// <summary>What the numbers mean, for people; nothing where there is nothing to compare with.</summary>
    public static IReadOnlyList<string> Notes(IReadOnlyList<ComparedMetric> metrics)
    {
        ArgumentNullException.ThrowIfNull(metrics);
        if (metrics.All(metric => metric.Runs.Count == 1))
            return [];

        bool untested = metrics.Any(metric => metric.Runs.Skip(1).Any(run => run is { Difference: not null, Paired: null }));
        return [.. s_notes, .. untested
            ? ["Without p: the difference of the two values; there are no scores by document (eval --log-samples), "
                + "or the metric is no mean of them."]
            : Array.Empty<string>()];
    }

    /// <summary>Compares evaluations.</summary>
    /// <exception cref="UserException">A file of samples is malformed.</exception>
    public static IReadOnlyList<ComparedMetric> Compare(IReadOnlyList<EvaluationOutput> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        var compared = new List<ComparedMetric>();
        foreach ((string task, string metric, string filter) in runs.SelectMany(run => run.Metrics)
            .Select(m => (m.Task, m.Metric, m.Filter))
            .Distinct())
        {
            EvaluatedMetric?[] values =
                [.. runs.Select(run => run.Metrics.FirstOrDefault(m => (m.Task, m.Metric, m.Filter) == (task, metric, filter)))];
            IReadOnlyDictionary<string, double>? first = values[0] is null ? null : runs[0].Scores(task, metric, filter);
            compared.Add(new ComparedMetric(task, metric, filter,
            [
                .. runs.Select((run, i) => i == 0 || values[i] is null
                    ? new ComparedValue(
                        run.Folder, values[i]?.Value, values[i]?.StandardError, values[i]?.Items, null, null, null, null, null, null)
                    : Against(values[0], first, run, values[i]!)),
            ]));
        }

        return compared;
    }

    /// <summary>
    /// The comparison as a table, the header first: a row for each metric of one evaluation or two; of more, a row for each metric of each.
    /// </summary>
    public static (IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows) Table(IReadOnlyList<ComparedMetric> metrics)
    {
        ArgumentNullException.ThrowIfNull(metrics);
        IReadOnlyList<string> names = RunNames.Folders([.. metrics[0].Runs.Select(run => run.Folder)]);
        if (names.Count > 2)
        {
            return (
                ["task", "metric", "evaluation", "value", .. s_paired],
                [.. metrics.SelectMany(metric => metric.Runs.Select((run, i) => (IReadOnlyList<string>)
                    [metric.Task, Name(metric), names[i], Value(run), .. i == 0 ? ["", "", ""] : Paired(run)]))]);
        }

        return (
            ["task", "metric", names[0], .. names.Skip(1).SelectMany(name => s_paired.Prepend(name))],
            [.. metrics.Select(metric => (IReadOnlyList<string>)
                [metric.Task, Name(metric), Value(metric.Runs[0]),
                    .. metric.Runs.Skip(1).SelectMany(run => Paired(run).Prepend(Value(run)))])]);
    }

    private static string Name(ComparedMetric metric) => metric.Filter == "none" ? metric.Metric : $"{metric.Metric}, {metric.Filter}";

    private static string Value(ComparedValue run) =>
        Number(run.Value, "0.0000") + (run.StandardError is { } error ? $" ± {Number(error, "0.0000")}" : "");

    // Under the heads of s_paired.
    private static string[] Paired(ComparedValue run) =>
    [
        Number(run.Difference, "+0.0000;-0.0000;0.0000"),
        run.PValue is >= 0 and < 0.0001 ? "<0.0001" : Number(run.PValue, "0.0000"),
        run.Paired is { } paired ? string.Create(CultureInfo.InvariantCulture, $"{paired} (+{run.Better} −{run.Worse})") : "–",
    ];

    private static ComparedValue Against(
        EvaluatedMetric? first, IReadOnlyDictionary<string, double>? firstScores, EvaluationOutput run, EvaluatedMetric value)
    {
        var plain = new ComparedValue(
            run.Folder, value.Value, value.StandardError, value.Items, first is null ? null : value.Value - first.Value, null, null, null,
            null, null);
        if (first is null || firstScores is null || run.Scores(value.Task, value.Metric, value.Filter) is not { } scores
            || !IsMean(first, firstScores) || !IsMean(value, scores))
        {
            return plain;
        }

        (double First, double This)[] pairs =
            [.. firstScores.Where(pair => scores.ContainsKey(pair.Key)).Select(pair => (pair.Value, scores[pair.Key]))];
        if (pairs.Length == 0)
            return plain with { Difference = null, Paired = 0, Better = 0, Worse = 0 };

        double[] differences = [.. pairs.Select(pair => pair.This - pair.First)];
        int better = differences.Count(d => d > 0), worse = differences.Count(d => d < 0);
        bool binary = pairs.All(pair => pair is { First: 0 or 1, This: 0 or 1 });
        return plain with
        {
            Difference = differences.Average(),
            Paired = pairs.Length,
            Better = better,
            Worse = worse,
            Test = binary ? McNemar : Permutation,
            PValue = binary ? PairedTests.McNemarMidP(better, worse) : PairedTests.Permutation(differences),
        };
    }

    // A mean of means, over languages say, can move against the documents' own mean: a test of these would speak of
    // another number than the one shown.
    private static bool IsMean(EvaluatedMetric metric, IReadOnlyDictionary<string, double> scores) =>
        Math.Abs(scores.Values.Average() - metric.Value) <= 1e-6 * Math.Max(1, Math.Abs(metric.Value));

    private static string Number(double? value, string format) =>
        value is { } number && double.IsFinite(number) ? number.ToString(format, CultureInfo.InvariantCulture) : "–";
}
