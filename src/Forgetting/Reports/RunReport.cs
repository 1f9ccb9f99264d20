using System.Globalization;

namespace Forgetting.Reports;

/// <summary>What a scored training example looks like to the report.</summary>
/// <param name="Index">Index of the example in its data set.</param>
/// <param name="Tokens">Its tokens with influence and sign.</param>
public sealed record ScoredText(int Index, IReadOnlyList<HeatMapToken> Tokens);

/// <summary>The page that a tuning run leaves: what was learnt and forgotten, how the two pulled, and which tokens they were.</summary>
public static class RunReport
{
    private const int HeatMapExamples = 12;

    /// <summary>Builds the page.</summary>
    /// <param name="title">Heading.</param>
    /// <param name="lead">What was run on what, in a sentence or two.</param>
    /// <param name="metrics">The run's metrics.</param>
    /// <param name="scored">Training examples with influence, or empty where the method uses none.</param>
    /// <param name="settings">Text of run.yaml.</param>
    public static HtmlReport Build(string title, string lead, MetricsLog metrics, IReadOnlyList<ScoredText> scored, string settings)
    {
        var report = new HtmlReport(title, lead);
        AddCurves(report, metrics);
        if (scored.Count > 0)
            AddInfluence(report, scored);

        return report.Folded("Settings (run.yaml)", settings);
    }

    /// <summary>Curves of losses, λ, learning rate, gradient norms and speed.</summary>
    public static void AddCurves(HtmlReport report, MetricsLog metrics)
    {
        report.Section("Learning and forgetting", "Cross-entropy of the tokens to learn should fall; that of the tokens to forget should not. λ is the weight of forgetting.");
        report.Figures(
            Charts.Lines("Loss by part", "optimiser step", "cross-entropy (nats)", [metrics.Curve("positive_loss", "positive tokens"), metrics.Curve("negative_loss", "negative tokens")]),
            Charts.Lines("Signed objective", "optimiser step", "objective (nats)", [metrics.Curve("loss", "signed objective")]),
            Charts.Lines("Lambda", "optimiser step", "λ", [metrics.Curve("lambda", "λ")], zeroBased: true),
            Charts.Lines("Learning rate", "optimiser step", "learning rate", [metrics.Curve("learning_rate", "learning rate")], zeroBased: true));

        report.Section("Gradients and speed", "Where measured, the norm of either part's own gradient and the cosine between the two: near −1 they cancel, near 1 they agree.");
        report.Figures(
            Charts.Lines(
                "Gradient norms", "optimiser step", "norm",
                [metrics.Curve("grad_norm", "whole"), metrics.Curve("positive_grad_norm", "positive part"), metrics.Curve("negative_grad_norm", "negative part")], zeroBased: true),
            Charts.Lines("Gradient cosine", "optimiser step", "cosine", [metrics.Curve("gradient_cosine", "positive and negative part")]),
            Charts.Lines("Speed", "optimiser step", "tokens/s", [metrics.Curve("tokens_per_second", "tokens/s")], zeroBased: true));
    }

    /// <summary>The histogram of influence with the cut, and the heat map of the examples with the widest spread.</summary>
    public static void AddInfluence(HtmlReport report, IReadOnlyList<ScoredText> scored)
    {
        var positive = Influences(scored, 1);
        var negative = Influences(scored, -1);
        double? cut = positive.Count > 0 && negative.Count > 0 ? positive.Min() : null;
        report.Section(
            "Influence of the training tokens",
            "Influence is how much lower a token's loss is under the reference model than under the base model. Tokens right of the cut are learnt, those left of it are ignored or unlearnt.");
        report.Figures(Charts.Histogram("Influence", "influence (nats)", [("learnt", positive), ("negative", negative)], cut));

        report.Section(
            "Examples, token by token",
            "Blue: the reference learnt the token; orange: it got worse at it; the deeper, the more. Underlined tokens are in the negative set. Hover for the numbers.");
        var chosen = scored.Where(e => e.Tokens.Any(t => t.Sign != 0)).OrderByDescending(Spread).ThenBy(e => e.Index).Take(HeatMapExamples).OrderBy(e => e.Index);
        report.Figures(TokenHeatMap.Render(
            [.. chosen.Select(e => (string.Create(CultureInfo.InvariantCulture, $"#{e.Index}"), e.Tokens))], Scale(scored)));
    }

    private static List<double> Influences(IReadOnlyList<ScoredText> scored, int sign) =>
        [.. scored.SelectMany(e => e.Tokens).Where(t => t.Sign == sign).Select(t => t.Influence)];

    private static double Spread(ScoredText example)
    {
        var values = example.Tokens.Where(t => t.Sign != 0).Select(t => t.Influence).ToList();
        return values.Max() - values.Min();
    }

    // Full colour at the 95th percentile of the magnitude, so that one outlier does not pale the rest.
    private static double Scale(IReadOnlyList<ScoredText> scored)
    {
        double[] magnitudes = [.. scored.SelectMany(e => e.Tokens).Where(t => t.Sign != 0).Select(t => Math.Abs(t.Influence)).Order()];
        return magnitudes.Length == 0 ? 1 : magnitudes[(int)(0.95 * (magnitudes.Length - 1))];
    }
}
