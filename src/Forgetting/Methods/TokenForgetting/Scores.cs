using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// What the base and the reference model make of every token, and the partition that follows (arXiv 2508.04329, section 3). Per example, per token,
/// in the order of the data; tokens outside the response have none, and 0 stands there.
/// </summary>
public sealed record Scores
{
    /// <summary>Cross-entropy under the base model, nats.</summary>
    public required IReadOnlyList<float[]> BaseLoss { get; init; }

    /// <summary>Cross-entropy under the reference model, nats.</summary>
    public required IReadOnlyList<float[]> ReferenceLoss { get; init; }

    /// <summary>Influence s = base loss − reference loss: what the reference has learnt is informative.</summary>
    public required IReadOnlyList<float[]> Influence { get; init; }

    /// <summary>Signs of the response tokens.</summary>
    public required Partition Partition { get; init; }

    /// <summary>Scores from the losses under the two models.</summary>
    /// <param name="rho">Share of positive tokens, in (0, 1].</param>
    /// <exception cref="UserException">An influence is not finite, or influences do not tell the tokens apart.</exception>
    public static Scores Of(
        IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss, double rho, PartitionLevel level)
    {
        float[][] influence = [.. baseLoss.Select((losses, i) => Difference(losses, referenceLoss[i]))];
        return new()
        {
            BaseLoss = baseLoss,
            ReferenceLoss = referenceLoss,
            Influence = influence,
            Partition = Partition.OfInformative(influence, baseLoss, [.. examples.Select(e => e.Response)], rho, level),
        };
    }

    /// <summary>Computes the losses of the response tokens under both models in one pass over the data; both are in memory.</summary>
    /// <param name="options">ρ, level and tokens of a micro-batch.</param>
    /// <param name="openBase">Opens the base model; it is disposed after use.</param>
    /// <param name="openReference">Opens the reference model; it is disposed after use.</param>
    /// <exception cref="UserException">A model cannot be loaded, an example does not fit, or a loss is not finite.</exception>
    public static Scores Compute(
        IReadOnlyList<EncodedExample> examples, TrainingOptions options, Func<LoadedModel> openBase, Func<LoadedModel> openReference,
        ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        using LoadedModel baseModel = openBase();
        using LoadedModel reference = openReference();
        observer?.StageBegan($"scoring {examples.Count} examples with the base and the reference model");
        IReadOnlyList<IReadOnlyList<float[]>> losses = Scorer.Losses(
            [baseModel.Decoder, reference.Decoder], examples, options.MicroBatchTokens, allTokens: false, observer, cancellation);
        return Of(examples, losses[0], losses[1], options.Rho ?? DefaultRho, options.Level);
    }

    /// <summary>ρ of arXiv 2508.04329.</summary>
    public const double DefaultRho = 0.7;

    private static float[] Difference(float[] a, float[] b)
    {
        var difference = new float[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            difference[i] = a[i] - b[i];
        }

        return difference;
    }
}
