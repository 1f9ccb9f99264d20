using System.Globalization;
using Forgetting.Reports;

namespace Forgetting.Cli.Demo.Conflict;

/// <summary>The second act's results: a row an arm, mean ± standard deviation over seeds, and what they say.</summary>
internal sealed class ConflictTable(IReadOnlyList<ConflictResult> results)
{
    /// <summary>Column heads.</summary>
    public static readonly string[] Header = ["method", "exact match %", "loss", "old answers %", "other tasks %", "conflicting among unlearnt %"];

    private readonly List<IGrouping<string, ConflictResult>> _arms = [.. results.GroupBy(r => r.Arm?.Name ?? "base")];

    /// <summary>Cells as they are to be read.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Rows => [.. _arms.Select(arm => (IReadOnlyList<string>)
    [
        arm.Key,
        Cell(arm, r => 100 * r.ExactMatch, "0.0"),
        Cell(arm, r => r.Loss, "0.000"),
        Cell(arm, r => 100 * r.OldAnswers, "0.0"),
        Cell(arm, r => 100 * r.Harmless, "0.0"),
        arm.All(r => r.Conflicting != null) ? Cell(arm, r => 100 * r.Conflicting!.Value, "0") : "",
    ])];

    /// <summary>The best exact match and the lowest loss among the tuned arms.</summary>
    public IReadOnlySet<(int Row, int Column)> Best
    {
        get
        {
            int[] tuned = [.. Enumerable.Range(0, _arms.Count).Where(i => _arms[i].First().Arm != null)];
            return new HashSet<(int, int)> { (tuned.MaxBy(i => _arms[i].Average(r => r.ExactMatch)), 1), (tuned.MinBy(i => _arms[i].Average(r => r.Loss)), 2) };
        }
    }

    /// <summary>What the numbers say, in sentences made from them, whichever way they fall.</summary>
    public IReadOnlyList<string> Findings =>
    [
        string.Create(
            CultureInfo.InvariantCulture,
            $"Before tuning, {100 * Mean("base", r => r.OldAnswers):0} % of the target task's questions get the conflicting source task's answer; ordinary fine-tuning leaves {100 * Mean(ConflictSettings.Vanilla, r => r.OldAnswers):0} %."),
        Against(ConflictSettings.LwfConflicting, ConflictSettings.Vanilla),
        Against(ConflictSettings.LwfConflicting, "vanilla, as many updates"),
        Against("lwf, harmless task", ConflictSettings.Vanilla),
        Against(ConflictSettings.LwfMixed, ConflictSettings.Vanilla),
        Against(ConflictSettings.LwfMixed, "lwf, mixed, low"),
        Against(ConflictSettings.LwfMixed, "lwf, mixed, random"),
        Against(ConflictSettings.LwfMixed, "lwf, mixed, upfront"),
        Against(ConflictSettings.LwfMixed, "lwf, mixed, random steps"),
        string.Create(
            CultureInfo.InvariantCulture,
            $"Of the samples with the highest confidence among all tasks', {100 * Mean(ConflictSettings.LwfMixed, r => r.Conflicting!.Value):0} % are of the conflicting task (chance: {100.0 / ConflictWorld.Tasks.Count:0} %). The price of forgetting: of the other tasks' questions, {100 * Mean(ConflictSettings.Vanilla, r => r.Harmless):0} % are answered right after ordinary fine-tuning, {100 * Mean(ConflictSettings.LwfConflicting, r => r.Harmless):0} % after unlearning the conflicting task, {100 * Mean(ConflictSettings.LwfMixed, r => r.Harmless):0} % after unlearning some of everything."),
    ];

    private double Mean(string arm, Func<ConflictResult, double> quantity) => _arms.Single(a => a.Key == arm).Average(quantity);

    // Paired by seed: the data of a seed is the same for all arms.
    private string Against(string arm, string other)
    {
        ConflictResult[] first = [.. _arms.Single(a => a.Key == arm)], second = [.. _arms.Single(a => a.Key == other)];
        double[] exact = [.. first.Zip(second, (a, b) => 100 * (a.ExactMatch - b.ExactMatch))], loss = [.. first.Zip(second, (a, b) => a.Loss - b.Loss)];
        int better = exact.Count(d => d > 0), worse = exact.Count(d => d < 0);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"“{arm}” against “{other}”: exact match {exact.Average():+0.0;−0.0;0.0} points (better in {better} and worse in {worse} of {exact.Length} seeds), held-out loss {loss.Average():+0.000;−0.000;0.000} nats.");
    }

    private static string Cell(IEnumerable<ConflictResult> arm, Func<ConflictResult, double> quantity, string format) =>
        Statistics.MeanAndDeviation([.. arm.Select(quantity)], value => value.ToString(format, CultureInfo.InvariantCulture));
}
