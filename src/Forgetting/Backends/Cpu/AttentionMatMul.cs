
namespace Forgetting.Backends.Cpu;

/// <summary>
/// The products of a tile of attention, without the panels that the causal mask leaves empty. What is left out would
/// have added zeros, in no other order.
/// </summary>
/// <typeparam name="TKernel">Whose panels the operands lie in.</typeparam>
/// <param name="position">Of the query tile's first token.</param>
/// <param name="tokens">Tokens of the query tile.</param>
/// <param name="first">First row that sees any key of the tile, rounded down to a whole panel.</param>
/// <param name="end">One past the last.</param>
/// <param name="firstKey">First key of the tile.</param>
/// <param name="keys">Keys of the tile.</param>
internal readonly unsafe struct AttentionMatMul<TKernel>(
    AttentionTiles tiles, int position, int tokens, int first, int end, int firstKey, int keys)
    where TKernel : unmanaged, IMicroKernel
{
    /// <summary>
    /// scores[row, key] = α·left[row]·right[key] where the row sees a key of the key's panel; others are left as they are.
    /// </summary>
    /// <param name="left">[all rows, D], panels of rows.</param>
    /// <param name="right">[keys, D], panels of columns.</param>
    /// <param name="scores">[all rows, <see cref="AttentionTiles.Keys"/>].</param>
    public void Scores(float* left, float* right, float alpha, float* scores)
    {
        int d = tiles.Shape.HeadSize;
        for (int key = 0; key < keys; key += TKernel.Columns, right += (long)TKernel.Columns * d)
        {
            int from = Math.Max(first, tiles.FirstRowThatSees(firstKey + key, position, tokens) / TKernel.Rows * TKernel.Rows);
            PackedProduct.Run<TKernel>(
                end - from, TKernel.Columns, d, left + ((long)from * d), (long)TKernel.Rows * d, right, (long)TKernel.Columns * d, alpha, 0,
                scores + ((long)from * AttentionTiles.Keys) + key, AttentionTiles.Keys);
        }
    }

    /// <summary>sums[row] += Σ_key left[row, key]·right[key].</summary>
    /// <param name="left">[end − first, keys], panels of rows.</param>
    /// <param name="right">[D, keys], panels of columns.</param>
    /// <param name="sums">[all rows, ·], rows <paramref name="stride"/> apart.</param>
    public void OverKeys(float* left, float* right, float* sums, int stride)
    {
        for (int row = first; row < end; row += TKernel.Rows, left += (long)TKernel.Rows * keys)
        {
            int rows = Math.Min(TKernel.Rows, end - row);
            int seen = Math.Min(AttentionTiles.KeysSeen(position + ((row + rows - 1) / tiles.Group), firstKey), keys);
            PackedProduct.Run<TKernel>(
                rows, tiles.Shape.HeadSize, seen, left, (long)TKernel.Rows * keys, right, (long)TKernel.Columns * keys, 1, 1,
                sums + ((long)row * stride), stride);
        }
    }

    /// <summary>sums[key] += Σ_row left[key, row]·right[row].</summary>
    /// <param name="left">[keys, end − first], panels of rows.</param>
    /// <param name="right">[D, all rows], panels of columns.</param>
    /// <param name="sums">[keys, ·], rows <paramref name="stride"/> apart.</param>
    public void OverRows(float* left, float* right, float* sums, int stride)
    {
        int rows = end - first;
        for (int key = 0; key < keys; key += TKernel.Rows, left += (long)TKernel.Rows * rows)
        {
            int from = Math.Max(first, tiles.FirstRowThatSees(firstKey + key, position, tokens));
            PackedProduct.Run<TKernel>(
                Math.Min(TKernel.Rows, keys - key), tiles.Shape.HeadSize, end - from, left + ((long)(from - first) * TKernel.Rows),
                (long)TKernel.Rows * rows, right + ((long)from * TKernel.Columns), (long)TKernel.Columns * tokens * tiles.Group, 1, 1,
                sums + ((long)key * stride), stride);
        }
    }
}
