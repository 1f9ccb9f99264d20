using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>Losses of the tokens of a data set under one or several models, without dropout.</summary>
internal static class Scorer
{
    /// <summary>
    /// Losses under one model; see
    /// <see cref="Losses(IReadOnlyList{Decoder}, IReadOnlyList{EncodedExample}, int, bool, ITrainingObserver?, ICommunicator?,
    /// CancellationToken)"/>.
    /// </summary>
    /// <returns>Per example, per token.</returns>
    public static IReadOnlyList<float[]> Losses(
        Decoder decoder, IReadOnlyList<EncodedExample> examples, int microBatchTokens, bool allTokens, ITrainingObserver? observer = null,
        ICommunicator? ranks = null, CancellationToken cancellation = default) =>
        Losses([decoder], examples, microBatchTokens, allTokens, observer, ranks, cancellation)[0];

    /// <summary>Per example, per token: log-probability under a model; 0 for tokens that are no response.</summary>
    /// <exception cref="UserException">An example does not fit, or a loss is not finite.</exception>
    public static IReadOnlyList<float[]> LogProbabilities(
        Decoder decoder, IReadOnlyList<EncodedExample> examples, int microBatchTokens, ICommunicator? ranks,
        CancellationToken cancellation) =>
        Negative(Losses(decoder, examples, microBatchTokens, allTokens: false, ranks: ranks, cancellation: cancellation));

    /// <summary>Log-probabilities for losses.</summary>
    public static IReadOnlyList<float[]> Negative(IReadOnlyList<float[]> losses) =>
        [.. losses.Select(example => Array.ConvertAll(example, loss => -loss))];

    /// <summary>
    /// Cross-entropy in nats of tokens given those before them, under each model in one pass over the data. Examples go through the models
    /// sorted by length and in batches of tokens; the result is in the order of the data and does not depend on the batches.
    /// </summary>
    /// <param name="decoders">Models that read the same tokens.</param>
    /// <param name="microBatchTokens">Tokens computed at once.</param>
    /// <param name="allTokens">True for every token but each example's first, which nothing predicts; false for the response tokens alone.
    /// Others have loss 0 and cost no logits.</param>
    /// <param name="observer">Is told of tokens done, counted once for each model.</param>
    /// <param name="cancellation">Ends the scoring after the batch in progress.</param>
    /// <param name="ranks">Share the batches; null for this process alone.</param>
    /// <returns>Per model, per example, per token.</returns>
    /// <exception cref="UserException">A loss is not finite, or an example does not fit a model; names the example.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static IReadOnlyList<IReadOnlyList<float[]>> Losses(
        IReadOnlyList<Decoder> decoders, IReadOnlyList<EncodedExample> examples, int microBatchTokens, bool allTokens,
        ITrainingObserver? observer = null, ICommunicator? ranks = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(decoders);
        ArgumentNullException.ThrowIfNull(examples);
        ranks ??= SingleProcess.Instance;
        int[] all = [.. Enumerable.Range(0, examples.Count)];
        float[][][] results = [.. decoders.Select(_ => Array.ConvertAll(all, i => new float[ExampleLists.LengthAt(examples, i)]))];

        // The longest first, so that memory grows at once or not at all.
        int[] places = [.. Enumerable.Range(0, examples.Count)
            .Where(
                i => (allTokens && ExampleLists.LengthAt(examples, i) > 1)
                    || examples[i].Response.AsSpan(Math.Min(1, ExampleLists.LengthAt(examples, i))).Contains(true))
            .OrderByDescending(i => ExampleLists.LengthAt(examples, i))];
        IReadOnlyList<EncodedExample> sorted = ExampleLists.At(examples, places);
        long tokens = ExampleLists.Tokens(sorted, 0, sorted.Count), total = decoders.Count * tokens, done = 0;
        int most = (int)Math.Clamp((tokens + ranks.Size - 1) / ranks.Size, 1, microBatchTokens); // each rank has a part
        if (sorted.Count > 0)
        {
            TokenBatch fullest = BatchBuilder.Fullest(sorted, most);
            var losses = new float[fullest.HeadRows.Length];
            foreach (Decoder decoder in decoders)
            {
                decoder.Reserve(twin => twin.Forward(fullest, losses));
            }
        }

        SharedWork.Run(ranks, BatchBuilder.MicroBatches(sorted, most), Compute, Take, cancellation);
        return results;

        // Of each model, what the batch's head rows cost.
        float[][] Compute(MicroBatch run)
        {
            TokenBatch batch = BatchBuilder.ForScoring(sorted, run, allTokens);
            return [.. decoders.Select(decoder =>
            {
                cancellation.ThrowIfCancellationRequested();
                var losses = new float[batch.HeadRows.Length];
                decoder.Forward(batch, losses);
                return losses;
            })];
        }

        void Take(MicroBatch run, float[][] losses)
        {
            TokenBatch batch = BatchBuilder.ForScoring(sorted, run, allTokens);
            for (int model = 0; model < decoders.Count; model++)
            {
                Distribute(batch, losses[model], i => results[model][places[run.First + i]]);
                done += ExampleLists.Tokens(sorted, run.First, run.Count);
                observer?.Progressed(done, total);
            }
        }
    }

    /// <summary>Mean of the losses over all response tokens, in double precision; NaN where there are none.</summary>
    /// <param name="losses">Per example, per token.</param>
    /// <returns>The mean in nats, and the number of response tokens.</returns>
    public static (double Mean, long Tokens) ResponseMean(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> losses)
    {
        double sum = 0;
        long count = 0;
        for (int i = 0; i < examples.Count; i++)
        {
            bool[] response = examples[i].Response;
            for (int t = 0; t < response.Length; t++)
            {
                sum += response[t] ? losses[i][t] : 0;
                count += response[t] ? 1 : 0;
            }
        }

        return (sum / count, count);
    }

    // To the tokens that were predicted, each one place behind the row that predicts it.
    private static void Distribute(TokenBatch batch, float[] losses, Func<int, float[]> resultOf)
    {
        for (int i = 0; i < batch.Documents; i++)
        {
            float[] result = resultOf(i);
            for (int head = batch.HeadOffsets[i]; head < batch.HeadOffsets[i + 1]; head++)
            {
                int token = batch.Positions[batch.HeadRows[head]] + 1;
                result[token] = float.IsFinite(losses[head])
                    ? losses[head]
                    : throw new UserException(
                        $"the loss of token {token} of example {batch.Examples[i]} is {losses[head]}, expected a finite number; "
                        + "are the model's weights sound?");
            }
        }
    }
}
