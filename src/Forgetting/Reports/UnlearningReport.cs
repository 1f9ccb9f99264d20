using System.Globalization;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>A sample that may be unlearnt, as the report shows it.</summary>
/// <param name="Selection">Its task, rank and whether it was chosen.</param>
/// <param name="Prompt">The prompt.</param>
/// <param name="Continuation">What the model wrote, or was given.</param>
internal sealed record SampleText(SelectionRecord Selection, string Prompt, string Continuation);

/// <summary>
/// What a run unlearnt besides its own tokens: the ranking with the cut, the samples at both ends, losses as they
/// were met, and what each stage cost.
/// </summary>
internal static class UnlearningReport
{
    private const int SamplesAtEachEnd = 6;
    private const int LongestText = 240, LongestTitle = 120;

    // More dots than this say no more and make the page large.
    private const int MaxDots = 3000;

    /// <summary>Adds the sections to a page.</summary>
    /// <param name="report">The page.</param>
    /// <param name="metrics">The run's steps.</param>
    /// <param name="summary">Numbers and stages.</param>
    /// <param name="samples">All samples that might be unlearnt.</param>
    public static void Add(
        HtmlReport report, IReadOnlyList<StepMetrics> metrics, UnlearningSummary summary, IReadOnlyList<SampleText> samples)
    {
        report.Section(
            "Unlearnt knowledge",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{summary.Selected:N0} of {summary.Elicited:N0} {summary.Kind} were unlearnt in steps of their "
                    + $"own{(summary.Verdict is { } verdict ? $"; {verdict}" : "")}. "
                    + $"{Explanation(samples)} The samples are those right of the cut where the highest were chosen."));
        SampleText[] ranked = [.. samples.Where(s => s.Selection.Rank != null).OrderByDescending(s => s.Selection.Rank)];
        double constant = summary.Constant ?? 0;
        string name = ByIncrease(samples) ? "Measured increase" : "Forgetting confidence";
        (double Rank, bool Selected)[] known = [.. ranked.Select(s => (s.Selection.Rank!.Value - constant, s.Selection.Selected))];
        string losses = Charts.Lines(
            "Learning and forgetting tasks", "optimiser step", "cross-entropy (nats)",
            [
                RunReport.Curve(metrics, "learning task", m => m.PositiveLoss, Charts.Learnt),
                RunReport.Curve(metrics, "samples being unlearnt", m => m.ForgetLoss, Charts.Forgotten),
            ]);
        string norms = Charts.Lines(
            "Gradients of learning and unlearning steps", "optimiser step", "norm before weight and clip",
            [RunReport.Curve(metrics, "learning", m => m.GradNorm, Charts.Learnt),
                RunReport.Curve(metrics, "unlearning", m => m.ForgetGradNorm, Charts.Forgotten)],
            zeroBased: true);
        if (known.Length == 0)
        {
            report.Figures(losses, norms, Times(metrics, samples));
        }
        else
        {
            List<double> Of(bool selected) => [.. known.Where(k => k.Selected == selected).Select(k => k.Rank)];
            report.Figures(
                losses, norms,
                Charts.Histogram(
                    name, ByIncrease(samples) ? "increase of the loss (nats)" : $"confidence − {Svg.Value(constant)}", "samples",
                    [new("unlearnt", Of(true), Charts.Forgotten), new("kept", Of(false), Charts.Neutral)], summary.Cut - constant),
                Times(metrics, samples));
            int each = Math.Min(SamplesAtEachEnd, ranked.Length / 2);
            report.Paragraph(ByIncrease(samples)
                ? "The samples of the highest and of the lowest increase:"
                : $"The samples of the highest and of the lowest confidence, of which {Svg.Value(constant)} is the same "
                    + "for all and left out here:");
            report.Table(
                ["prompt", summary.Given ? "continuation" : "what the model wrote", "task", ByIncrease(samples) ? "increase" : "confidence",
                    "unlearnt"],
                [.. ranked.Take(each).Concat(ranked.TakeLast(each)).Select(s => Row(s, constant))], prose: 2);
        }

        if (summary.Stages.Count > 0)
        {
            bool reused = summary.Stages.Any(s => s.Reused == true);
            report.Section(
                "Stages before the training",
                "Each left its result in the folder lwf; one that is not listed was given."
                    + (reused
                        ? " One that another run had computed was copied from there; its time and memory are what it took then."
                        : ""));
            report.Table(
                ["stage", "seconds", "memory (MiB)", .. reused ? ["copied"] : Array.Empty<string>()],
                [.. summary.Stages.Select(s => (IReadOnlyList<string>)
                    [s.Name, Number(s.Seconds, "0.0"), Number(s.PeakMemoryBytes / (double)(1 << 20), "0"),
                        .. reused ? [s.Reused == true ? "yes" : ""] : Array.Empty<string>()])]);
        }
    }

    private static bool ByIncrease(IReadOnlyList<SampleText> samples) => samples.Any(s => s.Selection.Increase != null);

    private static string Explanation(IReadOnlyList<SampleText> samples) => ByIncrease(samples)
        ? "They are ranked by how much ordinary fine-tuning on the learning task raised their loss: "
            + "what it had to push away stands in its way."
        : "Forgetting confidence says how far learning a sample would lead away from where the learning task ends.";

    // Which sample was unlearnt when; a run that takes more steps than fit shows them evenly thinned.
    private static string Times(IReadOnlyList<StepMetrics> metrics, IReadOnlyList<SampleText> samples)
    {
        (int Step, int Sample)[] all = [.. metrics.SelectMany(m => (m.Unlearned ?? []).Select(index => (m.Step, index)))];
        int every = (all.Length + MaxDots - 1) / MaxDots;
        return Charts.Dots("Samples unlearnt", "before optimiser step", "sample", [.. all.Where((_, i) => i % every == 0)
            .GroupBy(u => samples[u.Sample].Selection.Task ?? "samples")
            .OrderBy(g => g.Min(u => u.Sample))
            .Select(g => (g.Key, (IReadOnlyList<(double, double, string)>)[.. g.Select(
                u => ((double)u.Step, (double)u.Sample, Title(u, samples[u.Sample])))]))]);
    }

    private static string Title((int Step, int Sample) unlearnt, SampleText sample) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"sample {unlearnt.Sample} before step {unlearnt.Step}: "
                + $"{Short(sample.Prompt, LongestTitle)} → {Short(sample.Continuation, LongestTitle)}");

    private static IReadOnlyList<string> Row(SampleText sample, double constant) =>
        [Short(sample.Prompt, LongestText), Short(sample.Continuation, LongestText), sample.Selection.Task ?? "",
            sample.Selection.Rank is { } rank ? Svg.Value(rank - constant) : "", sample.Selection.Selected ? "yes" : ""];

    private static string Short(string text, int most) => text.Length <= most ? text : text[..most] + "…";

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "";
}
