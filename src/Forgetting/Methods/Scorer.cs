using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>Losses of every token of a data set under a model, without dropout.</summary>
public static class Scorer
{
    /// <summary>
    /// Cross-entropy in nats of each token given those before it; 0 for the first, which nothing predicts. Examples go through the model sorted by length and in
    /// batches of tokens; the result is in the order of the data and does not depend on the batches.
    /// </summary>
    /// <param name="microBatchTokens">Tokens computed at once.</param>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the scoring after the batch in progress.</param>
    /// <returns>Per example, per token.</returns>
    /// <exception cref="UserException">A loss is not finite, or an example does not fit the model; names the example.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static IReadOnlyList<float[]> Losses(
        Decoder decoder, IReadOnlyList<EncodedExample> examples, int microBatchTokens, ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        // The longest first, so that memory grows at once or not at all.
        int[] places = [.. Enumerable.Range(0, examples.Count).OrderByDescending(i => examples[i].Length)];
        EncodedExample[] sorted = [.. places.Select(i => examples[i])];
        long total = examples.Sum(e => (long)e.Length);
        long done = 0;
        var results = new float[examples.Count][];
        float[] losses = [];
        foreach (MicroBatch run in BatchBuilder.MicroBatches(sorted, microBatchTokens))
        {
            cancellation.ThrowIfCancellationRequested();
            TokenBatch batch = BatchBuilder.ForScoring(sorted, run, allTokens: true);
            if (losses.Length < batch.HeadRows.Length)
                losses = new float[batch.HeadRows.Length];

            if (batch.HeadRows.Length > 0)
                decoder.Forward(batch, losses.AsSpan(0, batch.HeadRows.Length));

            for (int i = 0; i < run.Count; i++)
            {
                int first = batch.HeadOffsets[i];
                results[places[run.First + i]] = WithFirst(losses.AsSpan(first, batch.HeadOffsets[i + 1] - first), sorted[run.First + i]);
            }

            done += batch.Rows;
            observer?.Progressed(done, total);
        }

        return results;
    }

    /// <summary>Mean of the losses over all response tokens, in double precision; NaN where there are none.</summary>
    /// <param name="losses">As <see cref="Losses"/> gives them.</param>
    /// <returns>The mean in nats, and the number of response tokens.</returns>
    public static (double Mean, long Tokens) ResponseMean(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> losses)
    {
        double sum = 0;
        long count = 0;
        for (int i = 0; i < examples.Count; i++)
        {
            for (int t = 0; t < examples[i].Length; t++)
            {
                sum += examples[i].Response[t] ? losses[i][t] : 0;
                count += examples[i].Response[t] ? 1 : 0;
            }
        }

        return (sum / count, count);
    }

    private static float[] WithFirst(ReadOnlySpan<float> losses, EncodedExample example)
    {
        var all = new float[example.Length];
        for (int i = 0; i < losses.Length; i++)
        {
            all[i + 1] = float.IsFinite(losses[i])
                ? losses[i]
                : throw new UserException($"the loss of token {i + 1} of example {example.Index} is {losses[i]}, expected a finite number; are the model's weights sound?");
        }

        return all;
    }
}
