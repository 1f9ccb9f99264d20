using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// What the base and the reference model make of every token, and the partition that follows (arXiv 2508.04329, section 3). Per example,
/// per token, in the order of the data; tokens outside the response have none, and 0 stands there.
/// </summary>
internal sealed record Scores
{
    /// <summary>Cross-entropy under the base model, nats.</summary>
    public required IReadOnlyList<float[]> BaseLoss { get; init; }

    /// <summary>Cross-entropy under the reference model, nats.</summary>
    public required IReadOnlyList<float[]> ReferenceLoss { get; init; }

    /// <summary>Influence s = base loss − reference loss: what the reference has learnt is informative.</summary>
    public required IReadOnlyList<float[]> Influence { get; init; }

    /// <summary>
    /// What the tokens are ranked by, <see cref="ScoreKind.Auto"/> resolved; null for signs read from a file that does not say.
    /// </summary>
    public ScoreKind? Kind { get; init; }

    /// <summary>What the tokens are ranked by, see <see cref="ScoreKind"/>; higher is better.</summary>
    public required IReadOnlyList<float[]> Score { get; init; }

    /// <summary>Signs of the response tokens.</summary>
    public required Partition Partition { get; init; }

    /// <summary>Whether the reference has learnt the task; null where that was not, or could not be, looked at.</summary>
    public ReferenceCheck? Check { get; init; }

    /// <summary>Scores from the losses under the two models.</summary>
    /// <exception cref="UserException">A score is not finite, or scores do not tell the tokens apart.</exception>
    public static Scores Create(
        IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss, ScoreKind kind,
        PartitionRule rule)
    {
        if (kind == ScoreKind.Auto)
            kind = Choose(examples, baseLoss, referenceLoss);

        IReadOnlyList<float[]> score = Rank(kind, baseLoss, referenceLoss);
        return new()
        {
            Kind = kind,
            BaseLoss = baseLoss,
            ReferenceLoss = referenceLoss,
            Influence = Rank(ScoreKind.Influence, baseLoss, referenceLoss),
            Score = score,
            Partition = Partition.OfInformative(score, baseLoss, [.. examples.Select(e => e.Unsigned)], rule).WithGiven(examples),
        };
    }

    /// <summary>Computes the losses of the response tokens under both models in one pass over the data; both are in memory.</summary>
    /// <param name="options">Kind of score, division and tokens of a micro-batch.</param>
    /// <param name="openBase">Opens the base model; it is disposed after use.</param>
    /// <param name="openReference">Opens the reference model; it is disposed after use.</param>
    /// <param name="ranks">Share the examples; null for this process alone.</param>
    /// <exception cref="UserException">A model cannot be loaded, an example does not fit, or a loss is not finite.</exception>
    public static Scores Compute(
        IReadOnlyList<EncodedExample> examples, TrainingOptions options, Func<LoadedModel> openBase, Func<LoadedModel> openReference,
        ITrainingObserver? observer = null, ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        using LoadedModel baseModel = openBase();
        using LoadedModel reference = openReference();
        observer?.StageBegan($"scoring {examples.Count} examples with the base and the reference model");
        IReadOnlyList<IReadOnlyList<float[]>> losses = Scorer.Losses(
            [baseModel.Decoder, reference.Decoder], examples, options.Compute.MicroBatchTokens, allTokens: false, observer, ranks,
            cancellation);
        return Create(examples, losses[0], losses[1], options.ResolveScore(), PartitionRule.From(options)) with
        {
            Check = ReferenceCheck.Of(
                reference.Decoder, examples, losses[1], options.Compute.MicroBatchTokens, ranks, cancellation),
        };
    }

    /// <summary>ρ of arXiv 2508.04329.</summary>
    public const double DefaultRho = 0.7;

    /// <summary>
    /// Share of what the reference finds unlikely that must have been implausible to the base for <see cref="ScoreKind.Auto"/> to take
    /// the reference loss (this project's).
    /// </summary>
    public const double IndependentShare = 0.95;

    // What the reference finds unlikely lies below Otsu's cut through −r. Where the base never believed it
    // either, influence does not see it.
    private static ScoreKind Choose(
        IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss)
    {
        (float Base, float Reference)[] tokens =
        [
            .. examples.SelectMany((e, i) => e.Unsigned.Index().Where(token => token.Item).Select(token => token.Index).Select(
                t => (baseLoss[i][t], referenceLoss[i][t])))
                .OrderBy(t => t.Item2),
        ];
        // A reference that has learnt nothing must not pass for one that finds errors: its influences are refused.
        if (2 * tokens.Count(t => Math.Abs(t.Base - t.Reference) <= Partition.Rounding(t.Base)) > tokens.Length)
            return ScoreKind.Influence;

        (float Base, float Reference)[] unlikely = tokens[OtsuCut.From([.. tokens.Select(t => -t.Reference)]).Above..];
        int implausible = unlikely.Count(t => Math.Exp(-t.Base) < Diagnosis.ImplausibleProbability);
        return unlikely.Length > 0 && implausible >= IndependentShare * unlikely.Length ? ScoreKind.Reference : ScoreKind.Influence;
    }

    /// <summary>Share of the base loss in <see cref="ScoreKind.Blend"/>.</summary>
    public const double BlendShare = 0.9;

    /// <summary>Per example, per token: c·b − r of the two losses, c by kind.</summary>
    internal static IReadOnlyList<float[]> Rank(ScoreKind kind, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss)
    {
        float share = kind switch { ScoreKind.Influence => 1, ScoreKind.Reference => 0, _ => (float)BlendShare };
        return [.. baseLoss.Zip(referenceLoss, (b, r) => b.Zip(r, (x, y) => share * x - y).ToArray())];
    }
}
