using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// Diagonal Fisher information F_i = E_x[(∂ log P(x)/∂θ_i)²] over single examples (arXiv 2505.19715), where log P(x) is the sum of the
/// log-probabilities of the example's response tokens. The square of a batch's mean gradient is not it: squares are taken per example,
/// inside the gradient sink, so a batch costs about one ordinary backward pass and no per-example gradient is stored.
/// </summary>
internal static class FisherInformation
{
    /// <summary>Leaves the information in the <see cref="Parameter.Gradient"/> of every trainable parameter.</summary>
    /// <param name="decoder">The model at θ_L, made for training; with an adapter, the adapter's parameters are the θ.</param>
    /// <param name="examples">The learning data, at least one.</param>
    /// <param name="kind">Whose targets.</param>
    /// <param name="maxTokens">Tokens computed at once; bounds memory, not results.</param>
    /// <param name="seed">Seed of the drawn targets.</param>
    /// <param name="observer">Told of tokens done, or null.</param>
    /// <param name="cancellation">Ends the computation between two batches.</param>
    /// <param name="ranks">Share the batches, and add up what they found; null for this process alone.</param>
    /// <exception cref="UserException">No example, or a token outside the model.</exception>
    public static void Compute(
        Decoder decoder, IReadOnlyList<EncodedExample> examples, FisherKind kind, int maxTokens, ulong seed,
        ITrainingObserver? observer = null, ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        ArgumentNullException.ThrowIfNull(examples);
        ranks ??= SingleProcess.Instance;
        if (examples.Count == 0)
            throw new UserException("the Fisher information of no examples was asked for, expected at least one");

        decoder.AllocateGradients();
        var sink = new SquareAccumulateSink(decoder.Backend);
        TokenBatch fullest = BatchBuilder.Fullest(examples, maxTokens);
        decoder.Reserve(twin =>
        {
            twin.AllocateGradients();
            twin.ForwardBackward(
                fullest, default, new SquareAccumulateSink(twin.Backend), new float[fullest.HeadRows.Length],
                targetSeed: kind == FisherKind.True ? seed : null);
        });
        float[][] ones = [.. examples.Select(e => UniformWeights(e, 1))];
        long done = 0, total = ExampleLists.Tokens(examples, 0, examples.Count);
        SharedWork.Run(ranks, BatchBuilder.MicroBatches(examples, maxTokens), Compute, (_, rows) =>
            observer?.Progressed(done += rows, total), cancellation);
        new RankExchange(ranks, decoder.Backend).AllReduce([.. decoder.TrainableParameters.Select(p => p.Gradient)]);
        foreach (Parameter parameter in decoder.TrainableParameters)
        {
            parameter.HasZeroGradient = false; // of a rank that had no batch too
            decoder.Backend.Scale(parameter.Gradient, 1f / examples.Count);
        }

        int Compute(MicroBatch run)
        {
            TokenBatch batch = BatchBuilder.Create(examples, run, ones);
            var losses = new float[batch.HeadRows.Length];
            decoder.ForwardBackward(batch, default, sink, losses, targetSeed: kind == FisherKind.True ? seed : null);
            return batch.Rows;
        }
    }

    /// <summary>
    /// Some examples drawn at random, in the order of the data; all of them where <paramref name="count"/> is null or no less.
    /// </summary>
    public static IReadOnlyList<EncodedExample> Draw(IReadOnlyList<EncodedExample> examples, int? count, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(examples);

        // Stream 2³² − 4 is no epoch's.
        return count < examples.Count
            ? [.. DataOrder.Permutation(examples.Count, seed, uint.MaxValue - 3).Take(count.Value).Order().Select(i => examples[i])]
            : examples;
    }

    /// <summary>The same weight for every response token of an example.</summary>
    internal static float[] UniformWeights(EncodedExample example, float weight)
    {
        var weights = new float[example.Length];
        Array.Fill(weights, weight);
        return weights;
    }
}
