using System.Globalization;
using Forgetting.Core;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>A finished run as the comparison sees it.</summary>
/// <param name="Folder">Its folder.</param>
/// <param name="Options">Its settings.</param>
/// <param name="Metrics">Its steps.</param>
/// <param name="Summary">What it left at its end.</param>
internal sealed record ComparedRun(string Folder, TrainingOptions Options, IReadOnlyList<StepMetrics> Metrics, TuneSummary Summary)
{
    /// <summary>What the evaluation after the last step measured; empty without one.</summary>
    public IReadOnlyDictionary<string, double> LastEvaluation => Metrics[^1].Evaluation ?? new Dictionary<string, double>();

    /// <summary>Whether a folder holds a run, finished or not.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, "run.yaml"));

    /// <summary>Whether a folder holds a run that is finished.</summary>
    public static bool IsFinishedIn(string folder) => IsIn(folder) && File.Exists(Path.Combine(folder, TuneSummary.FileName));

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

/// <summary>
/// Several runs side by side: the settings in which they differ, where they ended, and their curves. Runs that differ in nothing but the
/// seed are one row, as mean ± standard deviation, and one curve with a band.
/// </summary>
internal static class CompareReport
{
    /// <summary>Rows of the comparison, the header first.</summary>
    public static (IReadOnlyList<string> Header, IReadOnlyList<IReadOnlyList<string>> Rows) Table(IReadOnlyList<ComparedRun> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        IReadOnlyList<RunGroup> groups = RunNames.Group(runs, out IReadOnlyList<Setting> naming);
        Setting[] differing =
            [.. RunNames.Settings.Except(naming).Where(s => groups.Select(g => s.Read(g.Options)).Distinct().Count() > 1)];
        string[] evaluated = [.. runs.SelectMany(r => r.LastEvaluation.Keys).Distinct()];
        string[] judged = [.. runs.Where(r => r.Summary.Best != null).Select(r => r.Summary.Best!.Metric).Distinct()];
        bool negative = runs.Any(r => r.Metrics.Any(m => m.NegativeLoss != null)),
            forgets = runs.Any(r => r.Metrics.Any(m => m.ForgetLoss != null));
        List<(string Head, Func<RunGroup, string> Cell)> columns = [("runs", g => g.Label)];
        void Add(string head, Func<ComparedRun, double> quantity) => columns.Add((head, g => Cell(g.Runs, quantity)));

        // Nothing is told apart from what is learnt where nothing is negative.
        Add(negative ? "learnt loss" : "training loss", r => Final(r, m => m.PositiveLoss));
        if (negative)
            Add("negative loss", r => Final(r, m => m.NegativeLoss));

        if (forgets)
            Add("forget loss", r => Final(r, m => m.ForgetLoss));

        foreach (string name in evaluated)
        {
            Add(name, r => r.LastEvaluation.GetValueOrDefault(name, double.NaN));
        }

        columns.AddRange(judged.Select(metric => ($"best {metric}", (Func<RunGroup, string>)(g => Best(g.Runs, metric)))));
        columns.AddRange(differing.Select(s => (s.Name, (Func<RunGroup, string>)(g => RunNames.Value(s, g.Options)))));
        Add("gradient norm", r => Final(r, m => m.GradNorm));
        Add("tokens/s", r => r.Metrics.Sum(m => (double)m.Tokens) / r.Summary.TrainingSeconds);
        Add("seconds", r => r.Summary.TrainingSeconds);
        Add("memory (MiB)", r => r.Summary.PeakMemoryBytes / (double)(1 << 20));
        return ([.. columns.Select(c => c.Head)], [.. groups.Select(g => (IReadOnlyList<string>)[.. columns.Select(c => c.Cell(g))])]);
    }

    /// <summary>The page.</summary>
    /// <param name="runs">Tuning runs.</param>
    /// <param name="evaluations">Metrics of evaluations; either may be empty.</param>
    public static HtmlReport Build(IReadOnlyList<ComparedRun> runs, IReadOnlyList<ComparedMetric> evaluations)
    {
        ArgumentNullException.ThrowIfNull(evaluations);
        HtmlReport report =
            runs.Count > 0 ? Runs(runs) : new HtmlReport("Evaluations compared", $"{evaluations[0].Runs.Count} evaluations.");
        if (evaluations.Count == 0)
            return report;

        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = EvaluationComparison.Table(evaluations);
        report.Section("Benchmarks", string.Join(' ', EvaluationComparison.Notes(evaluations)));
        return report.Table(header, rows);
    }

    private static HtmlReport Runs(IReadOnlyList<ComparedRun> runs)
    {
        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = Table(runs);
        IReadOnlyList<RunGroup> groups = RunNames.Group(runs, out _);
        bool forgets = runs.Any(r => r.Metrics.Any(m => m.ForgetLoss != null)), bands = groups.Any(g => g.Runs.Count > 1);
        var report = new HtmlReport(
            "Runs compared",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{runs.Count} runs. Losses and norms are means over the last tenth of the steps that have "
                    + $"them{(forgets ? "; the forget loss is that of the samples that were unlearnt, as it was met" : "")}.")
                + (bands ? " Runs that differ only in the seed are one row, mean ± standard deviation." : ""));
        if (DataNote(runs) is { } note)
            report.Paragraph(note);

        report.Table(header, rows);
        foreach (SeedComparison comparison in SeedComparison.From(groups))
        {
            report.Section($"{comparison.Metric}, seed by seed", SeedComparison.Note).Table(comparison.Header, comparison.Rows)
                .Figures(Charts.Intervals($"{comparison.Metric} against {comparison.Baseline}", "difference", comparison.Intervals));
        }

        AddHeldOut(report, groups);
        report.Section(
            "Curves", bands ? "A curve is the mean over the runs of a row, its band reaches from the lowest of them to the highest." : "");
        string Lines(string title, string unit, Func<StepMetrics, double?> quantity) =>
            Charts.Lines(title, "optimiser step", unit, [.. groups.Select(g => Curve(g, quantity))]);
        string[] Where(string title, string unit, Func<StepMetrics, double?> quantity) =>
            runs.Any(r => r.Metrics.Any(m => quantity(m) is { } value && value != 0)) ? [Lines(title, unit, quantity)] : [];
        bool negative = runs.Any(r => r.Metrics.Any(m => m.NegativeLoss != null));
        report.Figures(
        [
            Lines(negative ? "Loss of tokens to learn" : "Training loss", "cross-entropy (nats)", m => m.PositiveLoss),
            .. Where("Loss of negative tokens", "cross-entropy (nats)", m => m.NegativeLoss),
            .. Where("Loss of samples being unlearnt", "cross-entropy (nats)", m => m.ForgetLoss),
            .. runs.SelectMany(r => r.Metrics).SelectMany(m => (m.Evaluation ?? new Dictionary<string, double>()).Keys).Distinct()
                .Where(name => name != StepMetrics.HeldOutLossName)
                .Select(name => Lines(name, name, m => m.Evaluation?.TryGetValue(name, out double value) == true ? value : null)),
            Lines("Gradient norm", "norm", m => m.GradNorm),
            .. Where("Weight of forgetting", "λ", m => m.Lambda),
        ]);
        report.Section("Settings", "Of each row, and where its runs are.");
        foreach (RunGroup group in groups)
        {
            report.Folded(group.Label, $"{string.Concat(group.Runs.Select(r => $"# {r.Folder}\n"))}{Recipe.Write(group.Runs[0].Options)}");
        }

        return report;
    }

    private static void AddHeldOut(HtmlReport report, IReadOnlyList<RunGroup> groups)
    {
        IReadOnlyList<HeldOutComparison.Row> held = HeldOut(groups);
        if (held.Count == 0)
            return;

        (IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows) = HeldOutComparison.Table(held);
        report.Section("Held-out examples", string.Join(' ', HeldOutComparison.Notes(held))).Table(header, rows);
        report.Figures(Charts.Lines(
            "Held-out loss", "optimiser step", "cross-entropy (nats)",
            [.. groups.Select(g => Curve(g, r =>
                r.Summary.Valid is { } valid ? ValidSummary.Curve(valid.Change.From, r.Metrics).Select(p => (p.Step, p.Loss)) : []))]));
    }

    /// <summary>What the runs did to held-out examples; empty where none has any.</summary>
    public static IReadOnlyList<HeldOutComparison.Row> HeldOut(IReadOnlyList<ComparedRun> runs) =>
        runs.Count == 0 ? [] : HeldOut(RunNames.Group(runs, out _)); // evaluations are compared without runs

    private static IReadOnlyList<HeldOutComparison.Row> HeldOut(IReadOnlyList<RunGroup> groups) =>
        HeldOutComparison.Compare([.. groups.Select(g => (g.Label, g.Runs))]);

    /// <summary>A sentence that says who trained on what, where that is not the same for all runs; else null.</summary>
    /// <remarks>
    /// Without a source of influence, methods that need one hold part of the data out for it; the others train on all of it.
    /// </remarks>
    public static string? DataNote(IReadOnlyList<ComparedRun> runs)
    {
        ArgumentNullException.ThrowIfNull(runs);
        IReadOnlyList<RunGroup> groups = RunNames.Group(runs, out _);
        string[] sets = [.. groups.SelectMany(g => g.Runs.Select(r => (Set: SetOf(g.Options.Data), Run: r)))
            .GroupBy(r => (r.Set, r.Run.Summary.Examples, r.Run.Summary.HeldOut), r => r.Run).Select(g =>
        {
            string methods = string.Join(", ", g.Select(r => r.Options.Method.Name).Distinct());
            string heldOut = g.Key.HeldOut > 0
                ? string.Create(CultureInfo.InvariantCulture, $" ({g.Key.HeldOut:N0} more held out for the reference)")
                : "";
            string path = g.First().Options.Data.Path;
            return string.Create(CultureInfo.InvariantCulture, $"{methods} on {g.Key.Examples:N0} examples of {path}{heldOut}");
        })];
        return sets.Length > 1
            ? $"The runs did not train on the same data: {string.Join("; ", sets)}. With the same reference-fraction, "
                + "or one source of influence for those that need it, they do."
            : null;
    }

    private static string SetOf(DataSettings data) => string.Join('\n', data.Files.Select(Path.GetFullPath)) + Recipe.Text(data.Weights);

    private static Series Curve(RunGroup group, Func<StepMetrics, double?> quantity) =>
        Curve(group, r => r.Metrics.Select(m => (m.Step, quantity(m) ?? double.NaN)));

    private static Series Curve(RunGroup group, Func<ComparedRun, IEnumerable<(int Step, double Value)>> points)
    {
        (double Step, double[] Values)[] steps = [.. group.Runs
            .SelectMany(points)
            .GroupBy(p => p.Step, p => p.Value)
            .OrderBy(g => g.Key)
            .Select(g => ((double)g.Key, g.Where(double.IsFinite).ToArray()))
            .Where(s => s.Item2.Length > 0)];
        return new Series(
            group.Label,
            [.. steps.Select(s => (s.Step, s.Values.Average()))],
            group.Runs.Count == 1 ? null : [.. steps.Select(s => (s.Step, s.Values.Min(), s.Values.Max()))]);
    }

    // Of the steps that have the quantity: unlearning steps and measurements are not at every one.
    private static double Final(ComparedRun run, Func<StepMetrics, double?> quantity) =>
        RunVerdict.Change.Of(run.Metrics, quantity)?.After ?? double.NaN;

    private static string Best(IReadOnlyList<ComparedRun> runs, string metric)
    {
        BestStep[] best = [.. runs.Select(r => r.Summary.Best).OfType<BestStep>().Where(b => b.Metric == metric)];
        string value = best.Length == 0 ? Svg.Value(double.NaN) : Spread([.. best.Select(b => b.Value)]);
        return best.Length == 1 ? string.Create(CultureInfo.InvariantCulture, $"{value} (step {best[0].Step})") : value;
    }

    private static string Cell(IReadOnlyList<ComparedRun> runs, Func<ComparedRun, double> quantity) => Spread([.. runs.Select(quantity)]);

    // Two digits of a deviation from a few runs are more than enough.
    private static string Spread(IReadOnlyList<double> values) =>
        Statistics.MeanAndDeviation(values, v => Svg.Value(v), v => Svg.Value(v, 2));
}
