using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Operations.Reference;

namespace Forgetting.Testing.Reference;

/// <summary>The objective of a training step and its gradient, from <see cref="ReferenceDecoder"/> and finite differences alone.</summary>
internal static class ReferenceObjective
{
    /// <summary>
    /// Σ over head rows of w·CE, or of what the kind of ascent descends where w is negative (<see cref="ReferenceLoss.Objective"/>).
    /// </summary>
    public static double Value(ReferenceDecoder decoder, TokenBatch batch, Ascent ascent) =>
        Enumerable.Range(0, batch.Documents).Sum(document => DocumentValue(decoder, batch, document, ascent));

    /// <summary>One document's part of <see cref="Value"/>.</summary>
    public static double DocumentValue(ReferenceDecoder decoder, TokenBatch batch, int document, Ascent ascent)
    {
        int start = batch.Offsets[document];
        double[][] logits = decoder.Logits(batch.Ids.AsSpan(start..batch.Offsets[document + 1]));
        double sum = 0;
        for (int r = batch.HeadOffsets[document]; r < batch.HeadOffsets[document + 1]; r++)
        {
            sum += ReferenceLoss.Objective(
                logits[batch.HeadRows[r] - start], batch.Targets[r], batch.Weights[r], ascent, batch.BaseLogProbabilities?[r] ?? 0);
        }

        return sum;
    }

    /// <summary>Cross-entropy of every head row.</summary>
    public static double[] Losses(ReferenceDecoder decoder, TokenBatch batch)
    {
        double[] losses = new double[batch.HeadRows.Length];
        for (int document = 0; document < batch.Documents; document++)
        {
            int start = batch.Offsets[document];
            double[][] logits = decoder.Logits(batch.Ids.AsSpan(start..batch.Offsets[document + 1]));
            for (int r = batch.HeadOffsets[document]; r < batch.HeadOffsets[document + 1]; r++)
            {
                losses[r] = ReferenceLoss.CrossEntropy(logits[batch.HeadRows[r] - start], batch.Targets[r]);
            }
        }

        return losses;
    }

    /// <summary>
    /// ∂ <see cref="Value"/> / ∂ elements <paramref name="indices"/> of <paramref name="values"/>, which must be one of the arrays that
    /// <paramref name="decoder"/> reads (a weight in the file's layout, or a LoRA matrix).
    /// </summary>
    public static double[] Gradient(ReferenceDecoder decoder, TokenBatch batch, Ascent ascent, double[] values, IEnumerable<int> indices) =>
        [.. indices.Select(index => Differences.Derivative(() => Value(decoder, batch, ascent), values, index))];
}
