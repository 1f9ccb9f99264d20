using System.Globalization;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>What a run's evaluations measured, and which of its models was the best.</summary>
internal static class EvaluationReport
{
    /// <summary>Adds the sections to a page; nothing where the run evaluated nothing.</summary>
    /// <param name="report">The page.</param>
    /// <param name="metrics">The run's steps.</param>
    /// <param name="best">The best evaluation, or null.</param>
    /// <param name="valid">What became of the loss of held-out examples, or null.</param>
    public static void Add(HtmlReport report, IReadOnlyList<StepMetrics> metrics, BestStep? best, ValidSummary? valid = null)
    {
        if (valid != null)
            AddHeldOut(report, metrics, valid);

        StepMetrics[] evaluated = [.. metrics.Where(m => m.Evaluation != null)];
        if (evaluated.Length == 0)
            return;

        string[] names = [.. evaluated.SelectMany(m => m.Evaluation!.Keys).Distinct()];
        string which = best is null
            ? "No evaluation gave a finite number to judge by."
            : string.Create(
                CultureInfo.InvariantCulture,
                $"Best by {best.Metric}: {best.Value:0.0000} {(best.Step == 0 ? "before training" : $"after step {best.Step}")}; "
                    + $"that model is in model-best.");
        report.Section("Evaluation during training", which);
        report.Figures(
        [
            .. names.Where(name => name != StepMetrics.HeldOutLossName)
                .Select(name =>
                    Charts.Lines(name, "optimiser step", name, [RunReport.Curve(evaluated, name, m => Value(m, name), Charts.Neutral)])),
        ]);
        var rows = new List<IReadOnlyList<string>>();
        var emphasised = new HashSet<(int, int)>();
        foreach (StepMetrics step in evaluated)
        {
            if (step.Step == best?.Step)
                emphasised.Add((rows.Count, 0));

            rows.Add(
            [
                step.Step.ToString(CultureInfo.InvariantCulture) + (step.Step == best?.Step ? " (best)" : ""),
                .. names.Select(name => Value(step, name) is { } value ? value.ToString("0.0000", CultureInfo.InvariantCulture) : "–"),
                step.EvaluationSeconds?.ToString("0.0", CultureInfo.InvariantCulture) ?? "",
            ]);
        }

        report.Table(["step", .. names, "seconds"], rows, emphasised);
    }

    private static void AddHeldOut(HtmlReport report, IReadOnlyList<StepMetrics> metrics, ValidSummary valid)
    {
        report.Section("Held-out examples", string.Create(
            CultureInfo.InvariantCulture,
            $"{valid.Examples:N0} examples of {valid.Source} with {valid.Tokens:N0} response tokens were not trained on: {valid.Verdict}. "
                + $"The test is a paired permutation test over the examples."));
        report.Figures(Charts.Lines("Held-out loss", "optimiser step", "cross-entropy (nats)",
        [
            new(
                "held-out examples", [.. ValidSummary.Curve(valid.Change.From, metrics).Select(p => ((double)p.Step, p.Loss))],
                Style: Charts.HeldOut),
            RunReport.Curve(metrics, "tokens to learn, as trained", m => m.PositiveLoss, Charts.Learnt),
        ]));
    }

    private static double? Value(StepMetrics metrics, string name) =>
        metrics.Evaluation!.TryGetValue(name, out double value) ? value : null;
}
