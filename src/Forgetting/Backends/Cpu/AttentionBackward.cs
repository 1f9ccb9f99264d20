using System.Runtime.Intrinsics;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Gradients of attention by recomputing the probabilities tile by tile (FlashAttention-2, arXiv 2307.08691, algorithm 2). With
/// P = exp(scale·Q·Kᵀ − lse) and dS = scale·P∘(dO·Vᵀ − δ), δ = Σ_d dO∘O: dV += Pᵀ·dO, dK += dSᵀ·Q, dQ += dS·K. A task is one key-value head
/// of a sequence, so that every sum belongs to one thread and has one order. Where scores s are capped, dS is multiplied by 1 − (s / cap)².
/// </summary>
internal readonly unsafe struct AttentionBackward<TKernel>(
    AttentionTiles tiles, float* q, float* k, float* v, int* offsets, float* o, float* logSumExp, float* dO, float* delta, float* dQ,
    float* dK, float* dV) : IJob
    where TKernel : unmanaged, IMicroKernel
{
    /// <summary>Memory of a task.</summary>
    public long ScratchBytes => sizeof(float) * Layout.Size(tiles);

    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        var at = new Layout((float*)scratch, tiles);
        AttentionShape shape = tiles.Shape;
        int kvHead = index % shape.KeyValueHeads;
        int s = index / shape.KeyValueHeads;
        int count = offsets[s + 1] - offsets[s];
        int kvStride = tiles.KeyStride;
        long keyStart = ((long)offsets[s] * kvStride) + ((long)kvHead * shape.HeadSize);
        for (int t = 0; t < count; t++)
        {
            new Span<float>(dK + keyStart + ((long)t * kvStride), shape.HeadSize).Clear();
            new Span<float>(dV + keyStart + ((long)t * kvStride), shape.HeadSize).Clear();
        }

        for (int position = 0; position < count; position += tiles.Tokens)
        {
            int tokens = Math.Min(tiles.Tokens, count - position);
            BeginQueries(at, kvHead, offsets[s] + position, tokens);
            int last = position + tokens - 1;
            for (int firstKey = tiles.FirstKey(position) / AttentionTiles.Keys * AttentionTiles.Keys; firstKey <= last;
                firstKey += AttentionTiles.Keys)
            {
                Tile(
                    at, position, tokens, firstKey, Math.Min(AttentionTiles.Keys, count - firstKey),
                    keyStart + ((long)firstKey * kvStride));
            }

            float* gradient = dQ + ((long)(offsets[s] + position) * tiles.QueryStride) + ((long)kvHead * tiles.Group * shape.HeadSize);
            tiles.Gather(gradient, tiles.QueryStride, at.QueryGradient, tokens, back: true);
        }
    }

    /// <summary>Packs Q and dO of a tile, both as left and as right operands, and computes δ.</summary>
    private void BeginQueries(Layout at, int kvHead, int token, int tokens)
    {
        int d = tiles.Shape.HeadSize;
        int rows = tokens * tiles.Group;
        const int Together = 4;
        float* sums = stackalloc float[Together];
        for (int row = 0; row < rows; row += Together)
        {
            int count = Math.Min(Together, rows - row);
            Deltas(
                tiles.Place(token, kvHead, row), tiles.Place(token, kvHead, row + Math.Min(1, count - 1)),
                tiles.Place(token, kvHead, row + Math.Min(2, count - 1)), tiles.Place(token, kvHead, row + count - 1), sums);
            for (int i = 0; i < count; i++)
            {
                long place = tiles.Place(token, kvHead, row + i);
                delta[place] = at.Delta[row + i] = sums[i];
                at.LogSumExp[row + i] = logSumExp[place];
            }
        }

        float* gathered = at.QueryGradient;
        int head = kvHead * tiles.Group * d;
        tiles.Gather(q + ((long)token * tiles.QueryStride) + head, tiles.QueryStride, gathered, tokens);
        Panels.Pack(gathered, d, false, rows, d, TKernel.Rows, at.Query);
        Panels.Pack(gathered, d, true, d, rows, TKernel.Columns, at.QueryRight);
        tiles.Gather(dO + ((long)token * tiles.ResultStride) + head, tiles.ResultStride, gathered, tokens);
        Panels.Pack(gathered, d, false, rows, d, TKernel.Rows, at.OutputGradient);
        Panels.Pack(gathered, d, true, d, rows, TKernel.Columns, at.OutputGradientRight);
        new Span<float>(at.QueryGradient, tiles.Rows * d).Clear();
    }

    // Σ dO∘O of four heads of tokens, each one chain in the order in which dO·Vᵀ is summed: where a query sees one key the two are equal,
    // and their difference is exactly 0.
    private void Deltas(long place0, long place1, long place2, long place3, float* sums)
    {
        int d = tiles.Shape.HeadSize;
        (place0, place1, place2, place3) = (place0 * d, place1 * d, place2 * d, place3 * d);
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int i = 0; i < d; i++)
        {
            s0 = float.MultiplyAddEstimate(dO[place0 + i], o[place0 + i], s0);
            s1 = float.MultiplyAddEstimate(dO[place1 + i], o[place1 + i], s1);
            s2 = float.MultiplyAddEstimate(dO[place2 + i], o[place2 + i], s2);
            s3 = float.MultiplyAddEstimate(dO[place3 + i], o[place3 + i], s3);
        }

        (sums[0], sums[1], sums[2], sums[3]) = (s0, s1, s2, s3);
    }

    private void Tile(Layout at, int position, int tokens, int firstKey, int keys, long keyStart)
    {
        const int Keys = AttentionTiles.Keys;
        int d = tiles.Shape.HeadSize;
        int kvStride = tiles.KeyStride;
        (int first, int end) = tiles.RowsThatSee(firstKey, position, tokens, TKernel.Rows);
        int rows = end - first;
        float* scores = at.Scores + (first * Keys);
        float* gradients = at.ScoreGradients + (first * Keys);
        var products = new AttentionMatMul<TKernel>(tiles, position, tokens, first, end, firstKey, keys);

        // P and dS, [rows, keys].
        Panels.Pack(k + keyStart, kvStride, false, keys, d, TKernel.Columns, at.Key);
        products.Scores(at.Query, at.Key, tiles.Shape.Scale, at.Scores);
        Panels.Pack(v + keyStart, kvStride, false, keys, d, TKernel.Columns, at.Key);
        products.Scores(at.OutputGradient, at.Key, 1, at.ScoreGradients);
        for (int row = first; row < end; row++)
        {
            ScoreGradient(at, row, position + (row / tiles.Group), firstKey);
        }

        // dV += Pᵀ·dO and dK += dSᵀ·Q.
        Panels.Pack(scores, Keys, true, keys, rows, TKernel.Rows, at.Left);
        products.OverRows(at.Left, at.OutputGradientRight, dV + keyStart, kvStride);
        Panels.Pack(gradients, Keys, true, keys, rows, TKernel.Rows, at.Left);
        products.OverRows(at.Left, at.QueryRight, dK + keyStart, kvStride);

        // dQ += dS·K.
        Panels.Pack(gradients, Keys, false, rows, keys, TKernel.Rows, at.Left);
        Panels.Pack(k + keyStart, kvStride, true, d, keys, TKernel.Columns, at.Key);
        products.OverKeys(at.Left, at.Key, at.QueryGradient, d);
    }

    /// <summary>Turns a row of scores into probabilities and of dO·Vᵀ into dS, both 0 for keys that the row does not see.</summary>
    private void ScoreGradient(Layout at, int row, int position, int firstKey)
    {
        float* scores = at.Scores + (row * AttentionTiles.Keys);
        float* gradients = at.ScoreGradients + (row * AttentionTiles.Keys);
        int count = tiles.Mask(scores, position, firstKey);
        float shift = at.LogSumExp[row];
        float center = at.Delta[row];
        if (tiles.Shape.Cap > 0)
        {
            CapGradient(scores, gradients, count, center);
            center = 0;
        }

        int i = 0;
        for (; Vector512.IsHardwareAccelerated && i <= count - Vector512<float>.Count; i += Vector512<float>.Count)
        {
            Vector512<float> p = VectorMath.Exp(Vector512.Load(scores + i) - Vector512.Create(shift));
            p.Store(scores + i);
            ((Vector512.Load(gradients + i) - Vector512.Create(center)) * p * tiles.Shape.Scale).Store(gradients + i);
        }

        for (; i < count; i += Lanes.Count)
        {
            Vector256<float> p = VectorMath.Exp(Vector256.Load(scores + i) - Vector256.Create(shift));
            p.Store(scores + i);
            ((Vector256.Load(gradients + i) - Vector256.Create(center)) * p * tiles.Shape.Scale).Store(gradients + i);
        }

        new Span<float>(gradients + count, AttentionTiles.Keys - count).Clear();
    }

    // dO·Vᵀ becomes (dO·Vᵀ − δ)·(1 − (s / cap)²); keys that are not seen have s = −∞.
    private void CapGradient(float* scores, float* gradients, int count, float delta)
    {
        float cap = tiles.Shape.Cap;
        for (int i = 0; i < count; i += Lanes.Count)
        {
            Vector256<float> t = Vector256.Max(Vector256.Load(scores + i) / cap, Vector256.Create(-1f));
            ((Vector256.Load(gradients + i) - Vector256.Create(delta)) * (Vector256<float>.One - (t * t))).Store(gradients + i);
        }
    }

    /// <summary>Where a task keeps what.</summary>
    private readonly struct Layout
    {
        public readonly float* Query;
        public readonly float* QueryRight;
        public readonly float* OutputGradient;
        public readonly float* OutputGradientRight;
        public readonly float* QueryGradient;
        public readonly float* Key;
        public readonly float* Scores;
        public readonly float* ScoreGradients;
        public readonly float* Left;
        public readonly float* Delta;
        public readonly float* LogSumExp;

        public Layout(float* memory, AttentionTiles tiles)
        {
            int queries = tiles.Rows * tiles.Depth;
            int scores = tiles.Rows * AttentionTiles.Keys;
            Query = memory;
            QueryRight = Query + queries;
            OutputGradient = QueryRight + queries;
            OutputGradientRight = OutputGradient + queries;
            QueryGradient = OutputGradientRight + queries;
            Key = QueryGradient + queries;
            Scores = Key + (AttentionTiles.Keys * tiles.Depth);
            ScoreGradients = Scores + scores;
            Left = ScoreGradients + scores;

            // Keys are rounded up to whole panels of rows.
            Delta = Left + (tiles.Rows * (AttentionTiles.Keys + TKernel.Rows));
            LogSumExp = Delta + tiles.Rows;
        }

        public static long Size(AttentionTiles tiles) =>
            (5L * tiles.Rows * tiles.Depth) + ((long)AttentionTiles.Keys * tiles.Depth)
            + ((long)tiles.Rows * ((3 * AttentionTiles.Keys) + TKernel.Rows + 2));
    }
}
