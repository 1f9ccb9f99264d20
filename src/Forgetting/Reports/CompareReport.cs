using System.Globalization;
using Forgetting.Methods;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>A finished run as the comparison sees it.</summary>
/// <param name="Folder">Its folder.</param>
/// <param name="Options">Its settings.</param>
/// <param name="Metrics">Its steps.</param>
/// <param name="Summary">What it left at its end.</param>
public sealed record ComparedRun(string Folder, TrainingOptions Options, IReadOnlyList<StepMetrics> Metrics, TuneSummary Summary)
{
    /// <summary>What the evaluation after the last step measured; empty without one.</summary>
    public IReadOnlyDictionary<string, double> LastEvaluation => Metrics[^1].Evaluation ?? new Dictionary<string, double>();

    /// <summary>Whether a folder holds a run, finished or not.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, "run.yaml"));

    /// <summary>Reads a run's folder.</summary>
    /// <exception cref="UserException">The folder holds no finished run; says which file is missing or bad.</exception>
    public static ComparedRun Read(string folder)
    {
        string settings = Path.Combine(folder, "run.yaml");
        if (!File.Exists(settings))
            throw new UserException($"{folder}: holds no run: expected {settings}");

        TrainingOptions options = Recipe.ReadRun(settings);
        if (options.Data.Path.Length == 0)
            throw new UserException($"{settings}: data is empty, expected the file that was learnt");

        string steps = Path.Combine(folder, "metrics.jsonl");
        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(steps);
        return metrics.Count > 0
            ? new(folder, options, metrics, TuneSummary.Read(folder))
            : throw new UserException($"{steps}: holds no steps, expected those of a finished run");
    }
}

/// <summary>Several runs side by side: the settings in which they differ, where they ended, and their curves. Runs that differ in nothing but the seed are one row, as mean ± standard deviation.</summary>
public static class CompareReport
{
    /// <summary>Rows of the comparison, the header first.</summary>
    public static (IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows) Table(IReadOnlyList<ComparedRun> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        Setting[] differing = [.. Recipe.Settings.Where(s => s.IsIdentity && runs.Select(r => s.Read(r.Options)).Distinct().Count() > 1)];
        string[] evaluated = [.. runs.SelectMany(r => r.LastEvaluation.Keys).Distinct()];
        string[] judged = [.. runs.Where(r => r.Summary.Best != null).Select(r => r.Summary.Best!.Metric).Distinct()];
        bool forgets = runs.Any(r => r.Metrics.Any(m => m.ForgetLoss != null));
        List<string> header = ["runs", .. differing.Select(s => s.Name), "learnt loss", "negative loss", .. forgets ? ["forget loss"] : Array.Empty<string>(), .. evaluated, .. judged.Select(metric => $"best {metric}"), "gradient norm", "tokens/s", "seconds", "memory (MiB)"];
        var rows = new List<IReadOnlyList<string>>();
        foreach (ComparedRun[] group in Groups(runs))
        {
            rows.Add(
            [
                Name(group),
                .. differing.Select(s => s.Read(group[0].Options)),
                Cell(group, r => Final(r, m => m.PositiveLoss)),
                Cell(group, r => Final(r, m => m.NegativeLoss)),
                .. forgets ? [Cell(group, r => Final(r, m => m.ForgetLoss))] : Array.Empty<string>(),
                .. evaluated.Select(name => Cell(group, r => r.LastEvaluation.GetValueOrDefault(name, double.NaN))),
                .. judged.Select(metric => Best(group, metric)),
                Cell(group, r => Final(r, m => m.GradNorm)),
                Cell(group, r => r.Metrics.Sum(m => (double)m.Tokens) / r.Summary.TrainingSeconds),
                Cell(group, r => r.Summary.TrainingSeconds),
                Cell(group, r => r.Summary.PeakMemoryBytes / (double)(1 << 20)),
            ]);
        }

        return (header, rows);
    }

    /// <summary>The page.</summary>
    /// <param name="runs">Tuning runs.</param>
    /// <param name="evaluations">Metrics of evaluations; either may be empty.</param>
    public static HtmlReport Build(IReadOnlyList<ComparedRun> runs, IReadOnlyList<ComparedMetric> evaluations)
    {
        ArgumentNullException.ThrowIfNull(evaluations);
        HtmlReport report = runs.Count > 0 ? Runs(runs) : new HtmlReport("Evaluations compared", $"{evaluations[0].Runs.Count} evaluations.");
        if (evaluations.Count == 0)
            return report;

        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = EvaluationComparison.Table(evaluations);
        report.Section("Benchmarks", string.Join(' ', EvaluationComparison.Notes(evaluations)));
        return report.Table(header, rows);
    }

    private static HtmlReport Runs(IReadOnlyList<ComparedRun> runs)
    {
        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = Table(runs);
        var report = new HtmlReport(
            "Runs compared",
            string.Create(CultureInfo.InvariantCulture, $"{runs.Count} runs. Losses and norms are means over the last tenth of the steps that have them; the forget loss is that of the samples that were unlearnt, as it was met. Runs that differ only in the seed are one row, mean ± standard deviation."));
        if (DataNote(runs) is { } note)
            report.Paragraph(note);

        report.Table(header, rows);
        AddHeldOut(report, runs);
        report.Section("Curves");
        string Lines(string label, string unit, Func<StepMetrics, double?> quantity) =>
            Charts.Lines(label, "optimiser step", unit, [.. runs.Select(r => RunReport.Curve(r.Metrics, FolderName(r), quantity))]);
        report.Figures(
        [
            Lines("Loss of tokens to learn", "learnt loss (nats)", m => m.PositiveLoss),
            Lines("Loss of negative tokens", "negative loss (nats)", m => m.NegativeLoss),
            .. runs.Any(r => r.Metrics.Any(m => m.ForgetLoss != null))
                ? [Lines("Loss of samples being unlearnt", "forget loss (nats)", m => m.ForgetLoss)]
                : Array.Empty<string>(),
            Lines("Gradient norm", "gradient norm", m => m.GradNorm),
            Lines("Lambda", "λ", m => m.Lambda),
        ]);
        foreach (ComparedRun run in runs)
        {
            report.Folded(run.Folder, Recipe.Write(run.Options));
        }

        return report;
    }

    private static void AddHeldOut(HtmlReport report, IReadOnlyList<ComparedRun> runs)
    {
        IReadOnlyList<HeldOutComparison.Row> held = HeldOut(runs);
        if (held.Count == 0)
            return;

        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = HeldOutComparison.Table(held);
        report.Section("Held-out examples", string.Join(' ', HeldOutComparison.Notes(held))).Table(header, rows);
        report.Figures(Charts.Lines(
            "Held-out loss", "optimiser step", "cross-entropy (nats)",
            [.. runs.Where(r => r.Summary.Valid != null).Select(r => EvaluationReport.Curve(FolderName(r), r.Summary.Valid!, r.Metrics))]));
    }

    /// <summary>What the runs did to held-out examples; empty where none has any.</summary>
    public static IReadOnlyList<HeldOutComparison.Row> HeldOut(IReadOnlyList<ComparedRun> runs) =>
        HeldOutComparison.Compare([.. Groups(runs).Select(group => (Name(group), (IReadOnlyList<ComparedRun>)group))]);

    /// <summary>A sentence that says who trained on what, where that is not the same for all runs; else null.</summary>
    /// <remarks>Without a source of influence, methods that need one hold part of the data out for it; the others train on all of it.</remarks>
    public static string? DataNote(IReadOnlyList<ComparedRun> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        string[] sets = [.. runs
            .GroupBy(r => (Path.GetFullPath(r.Options.Data.Path), r.Summary.Examples, r.Summary.HeldOut))
            .Select(g => string.Create(
                CultureInfo.InvariantCulture,
                $"{string.Join(", ", g.Select(r => Recipe.Text(r.Options.Method)).Distinct())} on {g.Key.Examples:N0} examples of {g.First().Options.Data.Path}{(g.Key.HeldOut > 0 ? $" ({g.Key.HeldOut:N0} more held out for the reference)" : "")}"))];
        return sets.Length > 1 ? $"The runs did not train on the same data: {string.Join("; ", sets)}. With the same reference-fraction, or one source of influence for those that need it, they do." : null;
    }

    private static IEnumerable<ComparedRun[]> Groups(IReadOnlyList<ComparedRun> runs) => runs
        .GroupBy(r => string.Join('\n', Recipe.Settings.Where(s => s.IsIdentity).Select(s => s.Read(r.Options))))
        .Select(g => g.ToArray());

    private static string Name(ComparedRun[] group) => group.Length == 1
        ? group[0].Folder
        : string.Create(CultureInfo.InvariantCulture, $"{group[0].Folder} and {group.Length - 1} more");

    private static string FolderName(ComparedRun run) => Path.GetFileName(Path.TrimEndingDirectorySeparator(run.Folder));

    private static double Final(ComparedRun run, Func<StepMetrics, double?> quantity)
    {
        // Of the steps that have the quantity: unlearning steps and measurements are not at every one.
        double[] values = [.. run.Metrics.Select(m => quantity(m) ?? double.NaN).Where(double.IsFinite)];
        return values.Length == 0 ? double.NaN : values.TakeLast(Math.Max(1, values.Length / 10)).Average();
    }

    private static string Best(ComparedRun[] group, string metric)
    {
        BestStep[] best = [.. group.Select(r => r.Summary.Best).OfType<BestStep>().Where(b => b.Metric == metric)];
        string value = best.Length == 0 ? Svg.Value(double.NaN) : Statistics.MeanAndDeviation([.. best.Select(b => b.Value)], Svg.Value);
        return best.Length == 1 ? string.Create(CultureInfo.InvariantCulture, $"{value} (step {best[0].Step})") : value;
    }

    private static string Cell(ComparedRun[] group, Func<ComparedRun, double> quantity) => Statistics.MeanAndDeviation([.. group.Select(quantity)], Svg.Value);
}
