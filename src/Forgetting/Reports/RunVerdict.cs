using System.Globalization;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>What a run was to do.</summary>
/// <param name="Method">Its method.</param>
/// <param name="Positive">Response tokens to learn; 0 where that is not known.</param>
/// <param name="Negative">Negative response tokens.</param>
/// <param name="Ignored">Response tokens that are neither.</param>
/// <param name="Unlearning">What it unlearnt in steps of their own, or null.</param>
/// <param name="Outcome">What was measured before and after on the same tokens; null where only the losses of steps are known.</param>
internal sealed record RunPurpose(
    TrainingMethod Method, long Positive, long Negative, long Ignored = 0, UnlearningSummary? Unlearning = null,
    TrainingOutcome? Outcome = null)
{
    /// <summary>Whether negative tokens were to be unlearnt, and not left out.</summary>
    public bool Forgets => Method.Negatives is NegativeTokens.Forgotten or NegativeTokens.ForgetSet;

    /// <summary>All response tokens.</summary>
    public long Total => Positive + Negative + Ignored;
}

/// <summary>
/// What came of a run, in words: losses before and after, whether what was to go went, and what was measured on held-out data.
/// </summary>
internal static class RunVerdict
{
    // Losses of steps scatter; what moved less stayed.
    private const double Moved = 0.01;

    /// <summary>Adds figures and sentences to the top of a page.</summary>
    public static void Add(HtmlReport report, IReadOnlyList<StepMetrics> metrics, RunPurpose purpose, ValidSummary? valid)
    {
        report.Tiles(Figures(metrics, purpose, valid));
        report.List(Sentences(metrics, purpose, valid));
    }

    /// <summary>The sentences, the most important first.</summary>
    /// <param name="valid">What became of the loss of held-out examples, or null.</param>
    public static IReadOnlyList<string> Sentences(IReadOnlyList<StepMetrics> metrics, RunPurpose purpose, ValidSummary? valid = null)
    {
        ArgumentNullException.ThrowIfNull(metrics);
        ArgumentNullException.ThrowIfNull(purpose);
        var sentences = new List<string>();
        if (valid is not null)
            sentences.Add($"{char.ToUpperInvariant(valid.Verdict[0])}{valid.Verdict[1..]}.");

        string learnt = purpose.Negative == 0 ? "Training loss" : "The loss of the tokens to learn";
        if (Learnt(metrics, purpose) is { Steps: var count } learning)
        {
            string over = string.Create(
                CultureInfo.InvariantCulture,
                $"over {metrics.Count:N0} "
                    + $"{(metrics.Count == 1 ? "step" : "steps")}{(purpose.Outcome is null ? "" : ", on the examples of the first")}");
            sentences.Add(
                count == 1 ? $"{learnt} was {Svg.Value(learning.After)} nats in the only step." : $"{learnt} {learning} nats {over}.");
        }

        if (purpose.Negative > 0)
            sentences.Add(Negatives(metrics, purpose));

        if (purpose.Unlearning is { } unlearning)
            sentences.Add(Samples(unlearning, Unlearnt(metrics, purpose)));

        sentences.AddRange(HeldOut(metrics, valid));
        return sentences;
    }

    private static List<(string Value, string Caption, int Style)> Figures(
        IReadOnlyList<StepMetrics> metrics, RunPurpose purpose, ValidSummary? valid)
    {
        var figures = new List<(string, string, int)>();
        if (valid is not null)
            figures.Add(($"{Svg.Value(valid.Change.From, 3)} → {Svg.Value(valid.Change.To, 3)}", "held-out loss (nats)", Charts.HeldOut));

        void Loss(Change? change, string caption, int style)
        {
            if (change is not null)
            {
                figures.Add((
                    change.Steps == 1 ? Svg.Value(change.After) : $"{Svg.Value(change.Before, 3)} → {Svg.Value(change.After, 3)}", caption,
                    style));
            }
        }

        Loss(Learnt(metrics, purpose), purpose.Negative == 0 ? "training loss (nats)" : "loss of tokens to learn (nats)", Charts.Learnt);
        if (purpose.Negative > 0)
        {
            Loss(Negative(metrics, purpose), "loss of negative tokens (nats)", Charts.Forgotten);
            figures.Add((
                Share(purpose), purpose.Forgets ? "of response tokens unlearnt" : "of response tokens left out",
                Charts.Forgotten));
        }

        Loss(Unlearnt(metrics, purpose), "loss of unlearnt samples (nats)", Charts.Forgotten);
        foreach ((string name, StepMetrics first, StepMetrics last) in Evaluations(metrics).Take(2))
        {
            string value = Svg.Value(last.Evaluation![name]);
            figures.Add(
                (first.Step == last.Step ? value : $"{Svg.Value(first.Evaluation![name])} → {value}", $"held-out {name}", Charts.HeldOut));
        }

        return figures;
    }

    private static string Negatives(IReadOnlyList<StepMetrics> metrics, RunPurpose purpose)
    {
        string share = string.Create(
            CultureInfo.InvariantCulture,
            $"{Share(purpose)} of the response tokens ({purpose.Negative:N0} of {purpose.Total:N0}) "
                + $"are negative and were {(purpose.Forgets ? "to be unlearnt" : "left out")}");
        return Negative(metrics, purpose) is not { } change ? $"{share}."
            : purpose.Forgets ? $"{share}: {Gone(change, "their loss")}"
            : $"{share}: their loss {change} nats by itself.";
    }

    private static string Samples(UnlearningSummary unlearning, Change? change)
    {
        string what = string.Create(
            CultureInfo.InvariantCulture,
            $"{unlearning.Selected:N0} of {unlearning.Elicited:N0} {unlearning.Kind} were to be unlearnt in steps of their own");
        string loss = unlearning.LossBefore is null ? "their loss, as they were met," : "their loss";
        return change is null ? $"{what}, but no such step was taken." : $"{what}: {Gone(change, loss)}";
    }

    // The same tokens before and after where they were measured; else the steps' own, which are of one batch and another.
    private static Change? Learnt(IReadOnlyList<StepMetrics> metrics, RunPurpose purpose) =>
        Change.Between(purpose.Outcome?.LearntBefore, purpose.Outcome?.LearntAfter) ?? Change.Of(metrics, m => m.PositiveLoss);

    private static Change? Negative(IReadOnlyList<StepMetrics> metrics, RunPurpose purpose) =>
        Change.Between(purpose.Outcome?.NegativeBefore, purpose.Outcome?.NegativeAfter) ?? Change.Of(metrics, m => m.NegativeLoss);

    private static Change? Unlearnt(IReadOnlyList<StepMetrics> metrics, RunPurpose purpose) =>
        Change.Between(purpose.Unlearning?.LossBefore, purpose.Unlearning?.LossAfter) ?? Change.Of(metrics, m => m.ForgetLoss);

    private static string Gone(Change change, string loss) =>
        change.Steps == 1 ? $"{loss} was {Svg.Value(change.After)} nats when it was measured, once; whether they went is not known."
        : change.Direction > 0 ? $"{loss} {change} nats, so what was to go went."
        : $"{loss} {change} nats, so what was to go did not go.";

    private static IEnumerable<string> HeldOut(IReadOnlyList<StepMetrics> metrics, ValidSummary? valid)
    {
        bool any = valid is not null;
        foreach ((string name, StepMetrics first, StepMetrics last) in Evaluations(metrics))
        {
            any = true;
            string Measured(StepMetrics step) => string.Create(
                CultureInfo.InvariantCulture,
                $"{Svg.Value(step.Evaluation![name])} {(step.Step == 0 ? "before the training" : $"after step {step.Step:N0}")}");
            yield return first.Step == last.Step
                ? $"Held-out {name}: {Measured(last)}, and nothing earlier to compare with."
                : $"Held-out {name}: {Measured(first)}, {Measured(last)}.";
        }

        if (!any)
        {
            yield return "Nothing was measured on held-out data, for which valid-data, valid-fraction or eval-tasks would be the setting: "
                + "all of this is about the training data.";
        }
    }

    private static IEnumerable<(string Name, StepMetrics First, StepMetrics Last)> Evaluations(IReadOnlyList<StepMetrics> metrics) =>
        metrics
            .SelectMany(m => (m.Evaluation ?? new Dictionary<string, double>()).Keys.Select(name => (Name: name, Step: m)))
            .Where(pair => pair.Name != StepMetrics.HeldOutLossName)
            .GroupBy(pair => pair.Name)
            .Select(g => (g.Key, g.First().Step, g.Last().Step));

    private static string Share(RunPurpose purpose) =>
        string.Create(CultureInfo.InvariantCulture, $"{100.0 * purpose.Negative / purpose.Total:0.#} %");

    /// <summary>
    /// A quantity at the beginning and at the end: measured there, or means over the first and the last tenth of the steps that have it.
    /// </summary>
    /// <param name="Steps">Times that it was measured.</param>
    internal sealed record Change(double Before, double After, int Steps)
    {
        /// <summary>1 where it rose, −1 where it fell, 0 where it did neither to speak of.</summary>
        public int Direction => Math.Abs(After - Before) <= Moved * Math.Abs(Before) ? 0 : Math.Sign(After - Before);

        /// <summary>What became of a quantity that was measured twice, or null where it was not.</summary>
        public static Change? Between(double? before, double? after) =>
            before is { } first && after is { } last ? new Change(first, last, 2) : null;

        /// <summary>What became of a quantity, or null where no step has it.</summary>
        public static Change? Of(IReadOnlyList<StepMetrics> metrics, Func<StepMetrics, double?> quantity)
        {
            double[] values = [.. metrics.Select(m => quantity(m) ?? double.NaN).Where(double.IsFinite)];
            int tenth = Math.Max(1, values.Length / 10);
            return values.Length == 0 ? null : new Change(values.Take(tenth).Average(), values.TakeLast(tenth).Average(), values.Length);
        }

        /// <inheritdoc/>
        public override string ToString() =>
            $"{Direction switch { > 0 => "rose", < 0 => "fell", _ => "hardly moved," }} from {Svg.Value(Before)} to {Svg.Value(After)}";
    }
}
