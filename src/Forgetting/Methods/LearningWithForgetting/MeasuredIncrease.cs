using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>How much ordinary fine-tuning raised the loss of a self-generated sample.</summary>
/// <param name="Index">Index of the sample in its data set.</param>
/// <param name="Increase">Loss(θ_L) − loss(θ_base), the mean over the sample's response tokens, nats.</param>
/// <param name="BaseLoss">The loss at θ_base.</param>
/// <param name="LearnedLoss">The loss at θ_L.</param>
internal sealed record IncreaseRecord(int Index, double Increase, double BaseLoss, double LearnedLoss);

/// <summary>
/// The measured increase of the loss of self-generated samples (this project's): what ordinary fine-tuning on the learning task had to push
/// away stands in its way. Two forward passes a sample and no Fisher information, where the forgetting confidence looks at a linearisation
/// that greedy samples, whose gradients are small, hardly show.
/// </summary>
internal static class MeasuredIncrease
{
    /// <summary>Measures samples.</summary>
    /// <param name="baseModel">The model at θ_base.</param>
    /// <param name="learned">The model at θ_L, after ordinary fine-tuning on the learning data.</param>
    /// <param name="microBatchTokens">Most tokens computed at once.</param>
    /// <param name="ranks">Share the samples; null for this process alone.</param>
    /// <returns>In the order of the samples.</returns>
    /// <exception cref="UserException">A loss is not finite, or a sample has no response tokens.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public static IReadOnlyList<IncreaseRecord> Compute(
        Decoder baseModel, Decoder learned, IReadOnlyList<EncodedExample> samples, int microBatchTokens, ITrainingObserver? observer = null,
        ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(samples);
        IReadOnlyList<IReadOnlyList<float[]>> losses =
            Scorer.Losses([baseModel, learned], samples, microBatchTokens, allTokens: false, observer, ranks, cancellation);
        return [.. samples.Select((sample, i) =>
        {
            double before = Mean(sample, losses[0][i]), after = Mean(sample, losses[1][i]);
            return new IncreaseRecord(i, after - before, before, after);
        })];
    }

    /// <summary>Writes records as JSON Lines, the file whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write(string path, IReadOnlyList<IncreaseRecord> records) => JsonLines.Write(path, records);

    /// <summary>Reads the records that <see cref="Write"/> left.</summary>
    /// <exception cref="UserException">The file cannot be read or a line is malformed.</exception>
    public static IReadOnlyList<IncreaseRecord> Read(string path) => JsonLines.Read<IncreaseRecord>(path);

    private static double Mean(EncodedExample sample, float[] losses)
    {
        (double mean, long tokens) = Scorer.ResponseMean([sample], [losses]);
        return tokens > 0 ? mean : throw new UserException($"sample {sample.Index} has no response tokens to measure");
    }
}
