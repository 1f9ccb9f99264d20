using System.Globalization;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>What a run's evaluations measured, and which of its models was the best.</summary>
public static class EvaluationReport
{
    /// <summary>Adds the section to a page; nothing where the run evaluated nothing.</summary>
    /// <param name="report">The page.</param>
    /// <param name="metrics">The run's steps.</param>
    /// <param name="best">The best evaluation, or null.</param>
    public static void Add(HtmlReport report, IReadOnlyList<StepMetrics> metrics, BestStep? best)
    {
        StepMetrics[] evaluated = [.. metrics.Where(m => m.Evaluation != null)];
        if (evaluated.Length == 0)
            return;

        string[] names = [.. evaluated.SelectMany(m => m.Evaluation!.Keys).Distinct()];
        string which = best is null
            ? "No evaluation gave a finite number to judge by."
            : string.Create(CultureInfo.InvariantCulture, $"Best by {best.Metric}: {best.Value:0.0000} after step {best.Step}; that model is in model-best.");
        report.Section("Evaluation during training", which);
        report.Figures([.. names.Select(name => Charts.Lines(name, "optimiser step", name, [RunReport.Curve(evaluated, name, m => Value(m, name))]))]);
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

    private static double? Value(StepMetrics metrics, string name) => metrics.Evaluation!.TryGetValue(name, out double value) ? value : null;
}
