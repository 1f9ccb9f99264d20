using System.Numerics;

namespace Forgetting.Data;

/// <summary>
/// Batches filled up to a few sizes. Of ragged batches hardly two have the same numbers of rows, predictions and documents; filled up, many
/// have, and a backend that records what it launches can launch it again.
/// </summary>
/// <remarks>
/// What is added is a document of its own, which no other sees, and predictions of weight 0, which lie in rows that have none: losses stay
/// what they were, and every gradient is that of before plus exact zeros.
/// </remarks>
internal static class BatchFiller
{
    private const int LeastMultiple = 16;
    private const int GreatestMultiple = 128;
    private const int MultipleOfDocuments = 8;

    /// <summary>
    /// Rows that a batch of so many is filled up to: a multiple of a power of two near an eighth of them, of 128 at most, which is a tile
    /// of a product in any case.
    /// </summary>
    public static int FilledRows(int rows) =>
        Multiple(rows, (int)Math.Clamp(BitOperations.RoundUpToPowerOf2((uint)rows / 8), LeastMultiple, GreatestMultiple));

    /// <summary>The batch with rows, predictions and documents up to a multiple; those of <paramref name="batch"/> come first.</summary>
    /// <param name="vocabulary">Ids are below it.</param>
    /// <param name="context">Positions are below it.</param>
    public static TokenBatch Fill(TokenBatch batch, int vocabulary, int context)
    {
        ArgumentNullException.ThrowIfNull(batch);
        int rows = FilledRows(batch.Rows);
        int heads = batch.HeadRows.Length == 0 ? 0 : FilledRows(batch.HeadRows.Length);
        int documents = Multiple(batch.Documents + 1, MultipleOfDocuments);
        return batch with
        {
            // Different ones, so that their occurrences are no long chain in the table's gradient.
            Ids = Filled(batch.Ids, rows, i => i % vocabulary),
            Positions = Filled(batch.Positions, rows, i => i % context),
            Offsets = Filled(batch.Offsets, documents + 1, _ => rows),
            Examples = Filled(batch.Examples, documents, _ => 0),
            RowKeys = Filled(batch.RowKeys, rows, _ => 0),
            HeadRows = WithFreeRows(batch.HeadRows, heads, rows),
            HeadOffsets = Filled(batch.HeadOffsets, documents + 1, _ => heads),
            Targets = Filled(batch.Targets, heads, _ => 0),
            Weights = Filled(batch.Weights, heads, _ => 0f),
            BaseLogProbabilities = batch.BaseLogProbabilities is { } logs ? Filled(logs, heads, _ => 0f) : null,
        };
    }

    private static int Multiple(int count, int of) => (count + of - 1) / of * of;

    private static T[] Filled<T>(T[] values, int length, Func<int, T> more)
    {
        var filled = new T[length];
        values.CopyTo(filled, 0);
        for (int i = values.Length; i < length; i++)
        {
            filled[i] = more(i - values.Length);
        }

        return filled;
    }

    // The last rows without a prediction: the batch has enough of them, since it is filled up to at least as much.
    private static int[] WithFreeRows(int[] headRows, int heads, int rows)
    {
        int[] filled = Filled(headRows, heads, _ => 0);
        int last = headRows.Length - 1;
        int row = rows - 1;
        for (int i = headRows.Length; i < heads; row--)
        {
            if (last >= 0 && headRows[last] == row)
                last--;
            else
                filled[i++] = row;
        }

        return filled;
    }
}
