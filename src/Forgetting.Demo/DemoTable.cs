using System.Globalization;
using Forgetting.Reports;

namespace Forgetting.Demo;

/// <summary>One scenario's results: a row an arm, and its paired difference to the baseline over the same worlds.</summary>
internal sealed class DemoTable(Scenario scenario, IReadOnlyList<DemoResult> results)
{
    private readonly List<IGrouping<string, DemoResult>> _arms = [.. results.Where(r => r.Scenario == scenario.Name).GroupBy(r => r.Arm)];

    /// <summary>Column heads.</summary>
    public IReadOnlyList<string> Header =>
    [
        "method", "exact match %", $"against {scenario.Baseline}", "old answers %",
        .. Unlearns ? ["conflicting %"] : new[] { "AUC", "planted %" },
    ];

    /// <summary>Cells as they are to be read.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Rows => [.. _arms.Select(arm => (IReadOnlyList<string>)
    [
        arm.Key,
        Cell(arm, r => 100 * r.ExactMatch, "0.0"),
        arm.Key == scenario.Baseline ? "" : Against(arm.Key, scenario.Baseline).ToText("0.0"),
        Cell(arm, r => 100 * r.OldAnswers, "0"),
        .. Unlearns
            ? [Cell(arm, r => 100 * r.Conflicting, "0")]
            : new[] { Cell(arm, r => r.Detection?.Auc, "0.00"), Cell(arm, r => 100 * r.Detection?.Precision, "0") },
    ])];

    /// <summary>The arm with the best exact match.</summary>
    public IReadOnlySet<(int Row, int Column)> Best =>
        new HashSet<(int, int)> { (Enumerable.Range(0, _arms.Count).MaxBy(i => _arms[i].Average(r => r.ExactMatch)), 1) };

    /// <summary>Points of exact match that an arm has over another, seed by seed.</summary>
    public PairedDifference Against(string arm, string other) =>
        Statistics.Paired([.. Of(arm).Zip(Of(other), (a, b) => 100 * (a.ExactMatch - b.ExactMatch))]);

    /// <summary>What the numbers say, in sentences made from them, whichever way they fall.</summary>
    public IReadOnlyList<string> Findings => Unlearns
        ?
        [
            Sentence("lwf, by increase", scenario.Baseline),
            Sentence("lwf, by increase", "lwf, by confidence (the paper's)"),
            Sentence("lwf, by increase", "lwf, at random"),
        ]
        :
        [
            .. Detected(),
            Sentence(DemoSettings.Ignore, DemoSettings.Plain),
            Sentence(DemoSettings.Forget, DemoSettings.Ignore),
            Sentence(DemoSettings.Belief, DemoSettings.Ignore),
        ];

    private bool Unlearns => _arms.Any(a => a.First().Conflicting != null);

    private IEnumerable<DemoResult> Of(string arm) => _arms.Single(a => a.Key == arm);

    private IEnumerable<string> Detected() =>
        _arms.Where(a => a.First().Detection != null).GroupBy(a => a.Average(r => r.Detection!.Auc)).Select(same => string.Create(
            CultureInfo.InvariantCulture,
            $"The scores of “{same.First().Key}” put a planted value below a true one with probability {same.Key:0.00}."));

    private string Sentence(string arm, string other)
    {
        PairedDifference difference = Against(arm, other);
        string verdict = double.IsNaN(difference.StandardError) ? "one seed says nothing for certain"
            : !difference.IsClear ? "no clear difference"
            : difference.Mean > 0 ? "better" : "worse";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"“{arm}” against “{other}”: {difference.ToText("0.0")} points of exact match, sign test p = {difference.P:0.000}: {verdict}.");
    }

    private static string Cell(IEnumerable<DemoResult> arm, Func<DemoResult, double?> quantity, string format) =>
        arm.Any(r => quantity(r) is null) ? "" : Statistics.MeanAndDeviation(
            [.. arm.Select(r => quantity(r)!.Value)], value => value.ToString(format, CultureInfo.InvariantCulture));
}
