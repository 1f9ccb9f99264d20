using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Tiled attention with a running maximum and sum (FlashAttention-2, arXiv 2307.08691, algorithm 1). A task is one query tile of one
/// key-value head: S = scale·Q·Kᵀ, P = exp(S − m), O = O·exp(m_old − m) + P·V over the key tiles, then O / Σ P.
/// </summary>
/// <param name="starts">First row of each sequence's keys and values.</param>
/// <param name="lengths">Keys of each sequence, of which the queries are the last; null where there are as many keys as queries.</param>
/// <param name="logSumExp">[T, heads], or null.</param>
internal readonly unsafe struct AttentionForward<TKernel>(
    AttentionTiles tiles, float* q, float* k, float* v, int* offsets, int sequences, int* starts, int* lengths, float* o, float* logSumExp)
    : IJob
    where TKernel : unmanaged, IMicroKernel
{
    /// <summary>Memory of a task.</summary>
    public long ScratchBytes
    {
        get
        {
            long floats = Layout.Size(tiles);
            for (int s = 0; s < sequences && lengths != null; s++)
            {
                floats = Math.Max(floats, (long)lengths[s] * tiles.Group);
            }

            return sizeof(float) * floats;
        }
    }

    /// <summary>Number of tasks.</summary>
    public int Tasks
    {
        get
        {
            int count = 0;
            for (int s = 0; s < sequences; s++)
            {
                count += tiles.Count(offsets[s + 1] - offsets[s]);
            }

            return count * tiles.Shape.KeyValueHeads;
        }
    }

    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        int kvHead = index % tiles.Shape.KeyValueHeads;
        int tile = index / tiles.Shape.KeyValueHeads;
        int s = 0;
        for (int count; tile >= (count = tiles.Count(offsets[s + 1] - offsets[s])); s++)
        {
            tile -= count;
        }

        int rows = offsets[s + 1] - offsets[s];
        int first = tile * tiles.Tokens;
        int position = (lengths == null ? rows : lengths[s]) - rows + first;
        if (lengths != null && rows == 1)
        {
            AttentionDecode.Run(
                tiles.Shape, offsets[s], position, starts[s], kvHead, 1, q + ((long)offsets[s] * tiles.QueryStride), k, v,
                (float*)scratch, o);
            return;
        }

        Tile(new Layout((float*)scratch, tiles), kvHead, offsets[s] + first, Math.Min(tiles.Tokens, rows - first), position, starts[s]);
    }

    private void Tile(Layout at, int kvHead, int token, int tokens, int position, int start)
    {
        AttentionShape shape = tiles.Shape;
        int d = shape.HeadSize;
        int kvStride = tiles.KeyStride;
        int rows = tokens * tiles.Group;
        long queryStart = ((long)token * tiles.QueryStride) + ((long)kvHead * tiles.Group * d);
        tiles.Gather(q + queryStart, tiles.QueryStride, at.Output, tokens);
        Panels.Pack(at.Output, d, false, rows, d, TKernel.Rows, at.Query);
        new Span<float>(at.Output, tiles.Rows * tiles.Depth).Clear();
        new Span<float>(at.Highest, tiles.Rows).Fill(float.NegativeInfinity);
        new Span<float>(at.Sum, tiles.Rows).Clear();

        int last = position + tokens - 1;
        for (int firstKey = tiles.FirstKey(position) / AttentionTiles.Keys * AttentionTiles.Keys; firstKey <= last;
            firstKey += AttentionTiles.Keys)
        {
            int keys = Math.Min(AttentionTiles.Keys, last + 1 - firstKey);
            long keyStart = ((long)(start + firstKey) * kvStride) + ((long)kvHead * d);
            Panels.Pack(k + keyStart, kvStride, false, keys, d, TKernel.Columns, at.Key);
            Panels.Pack(v + keyStart, kvStride, true, d, keys, TKernel.Columns, at.Value);

            (int firstRow, int endRow) = tiles.RowsThatSee(firstKey, position, tokens, TKernel.Rows);
            var products = new AttentionMatMul<TKernel>(tiles, position, tokens, firstRow, endRow, firstKey, keys);
            products.Scores(at.Query, at.Key, shape.Scale, at.Scores);
            for (int row = firstRow; row < endRow; row++)
            {
                Softmax(at, row, position + (row / tiles.Group), firstKey);
            }

            Panels.Pack(
                at.Scores + (firstRow * AttentionTiles.Keys), AttentionTiles.Keys, false, endRow - firstRow, keys, TKernel.Rows,
                at.Probability);
            products.OverKeys(at.Probability, at.Value, at.Output, tiles.Depth);
        }

        for (int row = 0; row < rows; row++)
        {
            long place = tiles.Place(token, kvHead, row);
            Lanes.Scale(at.Output + (row * tiles.Depth), 1 / at.Sum[row], o + (place * d), d);
            if (logSumExp != null)
                logSumExp[place] = at.Highest[row] + MathF.Log(at.Sum[row]);
        }
    }

    /// <summary>Scores of a row to probabilities relative to the row's new maximum; what was summed before is rescaled to it.</summary>
    private void Softmax(Layout at, int row, int position, int firstKey)
    {
        float* scores = at.Scores + (row * AttentionTiles.Keys);
        int count = tiles.Mask(scores, position, firstKey);
        float highest = MathF.Max(at.Highest[row], AttentionTiles.MaxRow(scores, count));
        if (float.IsNegativeInfinity(highest))
        {
            // Rows of a panel may begin before or end after the keys of the tile.
            new Span<float>(scores, count).Clear();
            return;
        }

        float change = at.Highest[row] - highest;
        if (change != 0)
        {
            float correction = MathF.Exp(change);
            at.Sum[row] *= correction;
            Lanes.Scale(at.Output + (row * tiles.Depth), correction, at.Output + (row * tiles.Depth), tiles.Depth);
            at.Highest[row] = highest;
        }

        at.Sum[row] += AttentionTiles.ExpRow(scores, count, highest);
    }

    /// <summary>Where a task keeps what.</summary>
    private readonly struct Layout
    {
        public readonly float* Query;
        public readonly float* Key;
        public readonly float* Value;
        public readonly float* Scores;
        public readonly float* Probability;
        public readonly float* Output;
        public readonly float* Highest;
        public readonly float* Sum;

        public Layout(float* memory, AttentionTiles tiles)
        {
            Query = memory;
            Key = Query + (tiles.Rows * tiles.Depth);
            Value = Key + (AttentionTiles.Keys * tiles.Depth);
            Scores = Value + (AttentionTiles.Keys * tiles.Depth);
            Probability = Scores + (tiles.Rows * AttentionTiles.Keys);
            Output = Probability + (tiles.Rows * AttentionTiles.Keys);
            Highest = Output + (tiles.Rows * tiles.Depth);
            Sum = Highest + tiles.Rows;
        }

        public static long Size(AttentionTiles tiles) =>
            (2L * (tiles.Rows + AttentionTiles.Keys) * tiles.Depth) + (2L * tiles.Rows * AttentionTiles.Keys) + (2L * tiles.Rows);
    }
}
