using System.Globalization;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Runs;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>Reads what a tuning run left in its folder, for reports.</summary>
internal static class RunFiles
{
    // Enough for a histogram's shape and for choosing examples; a page with every token of a large set would not open.
    private const int MaxScoredExamples = 4000;

    private static string Capitalized(string sentence) => char.ToUpperInvariant(sentence[0]) + sentence[1..];

    /// <summary>Writes <c>report.html</c> into a run's folder and returns its path.</summary>
    public static string WriteReport(string folder)
    {
        TuneSummary summary = TuneSummary.Read(folder);
        string path = Path.Combine(folder, "report.html");
        string lead = string.Create(
            CultureInfo.InvariantCulture,
            $"{summary.Model} tuned with method {summary.Method} on {summary.Examples} examples of {summary.Data}: "
                + $"{summary.PositiveTokens:N0} tokens to learn, {summary.NegativeTokens:N0} negative, "
                + $"{summary.Steps} steps in {summary.TrainingSeconds:0.#} s.");
        if (summary.EffectiveLambda is { } lambda)
            lead += $" λ weighed {EffectiveLambda(lambda)}.";

        if (summary.StoppedEarly)
            lead += " The run stopped early, since its evaluations got no better.";

        if (summary.Outcome?.Warning is { } warning)
            lead += $" {Capitalized(warning)}.";

        if (summary.Diagnosis is { } diagnosis)
            lead += $" Before training: {diagnosis}.";

        if (summary.ReferenceCheck is { } check)
            lead += $" {Capitalized(check.ToString())}.";

        if (summary.ReferenceQuality is { } quality)
            lead += $" {Capitalized(quality.ToString())}.";

        if (RoundingNote.From(summary.RoundingLoss) is { } note)
            lead += $" {Capitalized(note)}.";

        IReadOnlyList<StepMetrics> metrics = Metrics(folder);
        string recipe = Path.Combine(folder, "run.yaml");
        TrainingOptions options = Recipe.ReadRun(recipe);
        var ranked = new ScoreCut(options.TokenForgetting.Level, summary.Score ?? ScoreCut.Influence, summary.Cut);
        HtmlReport report = RunReport.Build(
            Title(folder), lead, metrics, ReadScored(folder), ranked, File.ReadAllText(recipe), summary.Best,
            summary.Unlearning is { } unlearning
                ? page => UnlearningReport.Add(page, metrics, unlearning, ReadSamples(folder, unlearning))
                : null,
            new RunPurpose(
                options.Method, summary.PositiveTokens, summary.NegativeTokens, summary.IgnoredTokens, summary.Unlearning, summary.Outcome),
            summary.Valid);
        AtomicFile.WriteText(path, report.ToString());
        return path;
    }

    // The folder's name; of one of a grid's seeds, what it is a seed of.
    private static string Title(string folder)
    {
        string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)), name = Path.GetFileName(path);
        return name.StartsWith("seed-", StringComparison.Ordinal) ? $"{Path.GetFileName(Path.GetDirectoryName(path))}, {name}" : name;
    }

    /// <summary>The run's self-generated samples; without their texts where their file is gone.</summary>
    public static IReadOnlyList<SampleText> ReadSamples(string folder, UnlearningSummary unlearning)
    {
        string own = Path.Combine(
            folder, LearningWithForgettingMethod.FolderName, LearningWithForgettingMethod.SamplesName);
        string path = File.Exists(own) ? own : unlearning.Samples;
        IReadOnlyList<DataExample> samples = File.Exists(path) ? DataSet.Read(path) : [];
        return [.. SelectionRecord.Read(Path.Combine(
                folder, LearningWithForgettingMethod.FolderName, LearningWithForgettingMethod.SelectionName))
            .Select(s => s.Index < samples.Count ? Text(s, samples[s.Index]) : new SampleText(s, "", ""))];
    }

    /// <summary>When the best evaluation was made, in words.</summary>
    public static string When(BestStep best) =>
        best.Step == 0 ? "before training" : string.Create(CultureInfo.InvariantCulture, $"after step {best.Step}");

    /// <summary>The loss a run ended with, in words: of the tokens to learn, of which its last step may have had none.</summary>
    public static string LastLoss(TuneSummary summary) => summary.LastStep.PositiveLoss is { } loss
        ? string.Create(CultureInfo.InvariantCulture, $"{loss:0.0000} on tokens to learn")
        : "the last step had no tokens to learn";

    /// <summary>What λ weighed over a run, in words.</summary>
    public static string EffectiveLambda(double lambda) =>
        string.Create(CultureInfo.InvariantCulture, $"{lambda:0.###} on average, each step counted by its learning rate");

    /// <summary>The run's metrics.</summary>
    public static IReadOnlyList<StepMetrics> Metrics(string folder) => StepMetrics.Read(Path.Combine(folder, "metrics.jsonl"));

    /// <summary>The run's scored examples with their text; empty where nothing was scored.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="note">What to add to the hover of a token of an example, or null.</param>
    public static IReadOnlyList<ScoredText> ReadScored(string folder, Func<ExampleScores, int, string>? note = null)
    {
        string path = Path.Combine(folder, TokenForgettingMethod.ScoresName);
        if (!File.Exists(path))
            return [];

        Tokenizer tokenizer = Tokenizer.Load(Path.Combine(folder, "model"));
        return [.. ScoreFile.Read(path).Take(MaxScoredExamples).Select(e => Scored(e, tokenizer, note))];
    }

    /// <summary>A scored example with its text.</summary>
    public static ScoredText Scored(ExampleScores e, Tokenizer tokenizer, Func<ExampleScores, int, string>? note = null) => new(
        e.Index,
        [.. tokenizer.TextsOf(e.Ids).Select((text, t) => new HeatMapToken(
            text,
            e.Response[t] == 0 ? double.NaN : (e.Score ?? e.Influence)[t],
            e.Sign[t],
            e.BaseLoss[t],
            e.ReferenceLoss[t],
            note?.Invoke(e, t) ?? ""))]);

    private static SampleText Text(SelectionRecord selection, DataExample example) => example.Messages is { } messages
        ? new SampleText(selection, string.Join('\n', messages.SkipLast(1).Select(m => $"{m.Role}: {m.Content}")), messages[^1].Content)
        : new SampleText(selection, example.Prompt, example.Completion);
}
