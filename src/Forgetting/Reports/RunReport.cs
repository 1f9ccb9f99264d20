using System.Globalization;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>What a scored training example looks like to the report.</summary>
/// <param name="Index">Index of the example in its data set.</param>
/// <param name="Tokens">Its tokens with score and sign.</param>
internal sealed record ScoredText(int Index, IReadOnlyList<HeatMapToken> Tokens);

/// <summary>How tokens got their signs.</summary>
/// <param name="Level">What was ranked.</param>
/// <param name="Score">What it is: influence, reference or blend.</param>
/// <param name="Cut">Score of the last positive one; null where it is not known.</param>
internal sealed record ScoreCut(PartitionLevel Level, string Score, double? Cut)
{
    /// <summary>The paper's score, which is 0 where the reference learnt nothing of a token.</summary>
    public const string Influence = "influence";

    /// <summary>What reports call the score.</summary>
    public string Name => Score == Influence ? Influence : $"{Score} score";

    /// <summary>What it is, in words.</summary>
    public string Meaning => Score switch
    {
        Influence => "how much lower a token's loss is under the reference model than under the base model",
        "reference" => "minus a token's loss under the reference model",
        _ => string.Create(
            CultureInfo.InvariantCulture,
            $"{Scores.BlendShare} times a token's loss under the base model minus its loss under the reference model"),
    };

    /// <summary>Where colours part: only influence has a zero that means something, other scores part at the cut.</summary>
    public double Centre => Score == Influence ? 0 : Cut ?? 0;

    /// <summary>What the colours of a heat map say, in words.</summary>
    public string Colours => (Score == Influence
        ? "Blue: the reference learnt the token; orange: it got worse at it; the deeper, the more. "
        : $"Blue: above a score of {Svg.Value(Centre)}; orange: below it; the deeper, the further. ") + "Underlined tokens are negative.";

    /// <summary>How the tokens of a run that is still at work got their signs, as far as some of them tell.</summary>
    public static ScoreCut Shown(TrainingOptions options, IReadOnlyList<ScoredText> shown)
    {
        HeatMapToken[] tokens = [.. shown.SelectMany(e => e.Tokens).Where(t => double.IsFinite(t.Score))];
        ScoreKind kind = options.TokenForgetting.Score != ScoreKind.Auto ? options.TokenForgetting.Score
            : Array.TrueForAll(tokens, t => Math.Abs(t.Score - (t.BaseLoss - t.ReferenceLoss)) < 1e-3) ? ScoreKind.Influence
            : ScoreKind.Reference;
        return new(
            options.TokenForgetting.Level, Recipe.Text(kind),
            tokens.Where(t => t.Sign > 0).Select(t => (double?)t.Score).DefaultIfEmpty(null).Min());
    }

    /// <summary>Colours for the scores.</summary>
    /// <param name="full">Distance from <see cref="Centre"/>, in nats, at which a colour is full.</param>
    public HeatMapScale Scale(double full) => new(Name, Meaning, Centre, full);
}

/// <summary>The page that a tuning run leaves: what was learnt and forgotten, how the two pulled, and which tokens they were.</summary>
internal static class RunReport
{
    private const int HeatMapExamples = 12;

    /// <summary>Builds the page.</summary>
    /// <param name="title">Heading.</param>
    /// <param name="lead">What was run on what, in a sentence or two.</param>
    /// <param name="metrics">The run's metrics.</param>
    /// <param name="scored">Training examples with scores, or empty where the method uses none.</param>
    /// <param name="ranked">How the tokens got their signs; null where they were not scored.</param>
    /// <param name="settings">Text of run.yaml.</param>
    /// <param name="best">The best of the run's evaluations, or null.</param>
    /// <param name="unlearnt">Adds what the run unlearnt besides its own tokens, or null.</param>
    /// <param name="purpose">What the run was to do; null: to learn every token.</param>
    /// <param name="valid">What became of the loss of held-out examples, or null.</param>
    public static HtmlReport Build(
        string title, string lead, IReadOnlyList<StepMetrics> metrics, IReadOnlyList<ScoredText> scored, ScoreCut? ranked,
        string settings, BestStep? best = null, Action<HtmlReport>? unlearnt = null, RunPurpose? purpose = null, ValidSummary? valid = null)
    {
        var report = new HtmlReport(title, lead);
        RunVerdict.Add(report, metrics, purpose ?? new RunPurpose(TrainingMethod.Full, 0, 0), valid);
        AddCurves(report, metrics);
        EvaluationReport.Add(report, metrics, best, valid);
        if (ranked is not null && scored.Count > 0)
            AddScores(report, scored, ranked);

        unlearnt?.Invoke(report);
        return report.Folded("Settings (run.yaml)", settings);
    }

    /// <summary>Curves of losses, λ, learning rate, gradient norms and speed.</summary>
    public static void AddCurves(HtmlReport report, IReadOnlyList<StepMetrics> metrics)
    {
        // Without negative tokens the objective is their cross-entropy, and λ is 0 throughout.
        bool signed = metrics.Any(m => m.NegativeLoss != null), parts = metrics.Any(m => m.PositiveGradNorm != null);
        report.Section(
            signed ? "Learning and forgetting" : "Learning",
            signed ? "Cross-entropy of the tokens to learn should fall; that of the negative ones, where they are unlearnt, should rise. "
                + "λ is the weight of forgetting." : "");
        report.Figures(
        [
            signed
                ? Charts.Lines(
                    "Loss by part", "optimiser step", "cross-entropy (nats)",
                    [Curve(metrics, "tokens to learn", m => m.PositiveLoss, Charts.Learnt),
                        Curve(metrics, "negative tokens", m => m.NegativeLoss, Charts.Forgotten)])
                : Charts.Lines(
                    "Training loss", "optimiser step", "cross-entropy (nats)",
                    [Curve(metrics, "all response tokens", m => m.PositiveLoss, Charts.Learnt)]),
            .. signed
                ? [
                    Charts.Lines(
                        "Signed objective", "optimiser step", "objective (nats)",
                        [Curve(metrics, "signed objective", m => m.Loss, Charts.Neutral)]),
                    .. metrics.Any(m => m.Lambda != 0)
                        ? [Charts.Lines(
                            "Weight of forgetting", "optimiser step", "λ", [Curve(metrics, "λ", m => m.Lambda, Charts.Forgotten)],
                            zeroBased: true)]
                        : Array.Empty<string>(),
                ]
                : Array.Empty<string>(),
            Charts.Lines(
                "Learning rate", "optimiser step", "learning rate", [Curve(metrics, "learning rate", m => m.LearningRate, Charts.Neutral)],
                zeroBased: true),
        ]);

        report.Section(
            "Gradients and speed",
            parts ? "The norm of either part's own gradient and the cosine between the two: near −1 they cancel, near 1 they agree." : "");
        report.Figures(
        [
            Charts.Lines(
                "Gradient norms", "optimiser step", "norm",
                [
                    Curve(metrics, "whole", m => m.GradNorm, Charts.Neutral),
                    Curve(metrics, "positive part", m => m.PositiveGradNorm, Charts.Learnt),
                    Curve(metrics, "negative part", m => m.NegativeGradNorm, Charts.Forgotten),
                ], zeroBased: true),
            .. parts ? [Charts.Lines("Gradient cosine", "optimiser step", "cosine",
                [Curve(metrics, "positive and negative part", m => m.GradientCosine, Charts.Neutral)])] : Array.Empty<string>(),
            Charts.Lines(
                "Speed", "optimiser step", "tokens/s", [Curve(metrics, "tokens/s", m => m.TokensPerSecond, Charts.Neutral)],
                zeroBased: true),
        ]);
    }

    /// <summary>The histogram of the scores with the cut, and the heat map of the examples with the widest spread.</summary>
    public static void AddScores(HtmlReport report, IReadOnlyList<ScoredText> scored, ScoreCut ranked)
    {
        bool tokens = ranked.Level == PartitionLevel.Token;
        string what = tokens ? "tokens" : "examples", name = $"{char.ToUpperInvariant(ranked.Name[0])}{ranked.Name[1..]}";
        IReadOnlyList<double> Of(int sign) => tokens ? Scores(scored, sign) : Means(scored, sign);
        IReadOnlyList<double> ignored = Of(0);
        report.Section(
            $"{name} of the training tokens",
            $"{name} is {ranked.Meaning}. "
            + (tokens ? "Tokens" : "Examples are ranked by the mean over their tokens, which share a sign: those")
            + " right of the cut are learnt, those left of it are ignored or unlearnt, but for those to which the data gives a sign.");
        report.Figures(Charts.Histogram(
            $"{name} of {what}", tokens ? $"{ranked.Name} (nats)" : $"mean {ranked.Name} of an example (nats)", what,
            [new("learnt", Of(1), Charts.Learnt), new("negative", Of(-1), Charts.Forgotten),
                .. ignored.Count > 0 ? [new HistogramGroup("ignored", ignored, Charts.Neutral)] : Array.Empty<HistogramGroup>()],
            ranked.Cut));

        report.Section(
            "Examples, token by token",
            $"{ranked.Colours} Hover for the numbers.");
        var chosen =
            scored.Where(e => e.Tokens.Any(t => t.Sign != 0)).OrderByDescending(Spread).ThenBy(e => e.Index).Take(HeatMapExamples).OrderBy(
                e => e.Index);
        report.Raw(TokenHeatMap.Scored(chosen, ranked.Scale(Full(scored, ranked.Centre))));
    }

    /// <summary>A quantity of the steps at which it was measured, against the step.</summary>
    /// <param name="style">Number of its colour; null for its place in the chart.</param>
    public static Series Curve(IReadOnlyList<StepMetrics> metrics, string name, Func<StepMetrics, double?> quantity, int? style = null) =>
        new(name, [.. metrics.Select(m => ((double)m.Step, quantity(m) ?? double.NaN))], Style: style);

    private static List<double> Scores(IReadOnlyList<ScoredText> scored, int sign) =>
        [.. scored.SelectMany(e => e.Tokens).Where(t => t.Sign == sign && double.IsFinite(t.Score)).Select(t => t.Score)];

    private static List<double> Means(IReadOnlyList<ScoredText> scored, int sign) =>
    [
        .. scored.Select(e => e.Tokens.Where(t => t.Sign == sign && double.IsFinite(t.Score))).Where(t => t.Any())
            .Select(t => t.Average(token => token.Score)),
    ];

    private static double Spread(ScoredText example)
    {
        var values = example.Tokens.Where(t => t.Sign != 0).Select(t => t.Score).ToList();
        return values.Max() - values.Min();
    }

    /// <summary>
    /// Distance from a score at which the colour is full: the 95th percentile, so that one outlier does not pale the rest.
    /// </summary>
    internal static double Full(IReadOnlyList<ScoredText> scored, double centre)
    {
        double[] distances = [.. scored.SelectMany(e => e.Tokens).Where(t => t.Sign != 0).Select(t => Math.Abs(t.Score - centre)).Order()];
        return distances.Length == 0 ? 1 : distances[(int)(0.95 * (distances.Length - 1))];
    }
}
