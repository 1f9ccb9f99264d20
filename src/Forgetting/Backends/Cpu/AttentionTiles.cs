using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// How attention is cut into tiles. The rows of a tile are all query heads of one key-value head at consecutive tokens,
/// row i·group + h, so that grouped queries share the packed keys and values; its columns are <see cref="Keys"/> consecutive keys.
/// Key tiles are counted from the first token of the sequence: what a row sees in which order depends on its position alone.
/// </summary>
internal readonly unsafe struct AttentionTiles
{
    /// <summary>Keys of a tile.</summary>
    public const int Keys = 64;

    // Floats of a tile of queries: 48 KiB, several of which share the second-level cache.
    private const int QueryFloats = 12_288;
    private const int MaxRows = 192;

    /// <summary>Tiles of <typeparamref name="TKernel"/>'s granularity.</summary>
    /// <param name="queryStride">Floats from one row of queries to the next.</param>
    /// <param name="keyStride">The same of keys and values.</param>
    public static AttentionTiles Of<TKernel>(AttentionShape shape, int queryStride, int keyStride)
        where TKernel : unmanaged, IMicroKernel => new(shape, queryStride, keyStride, TKernel.Rows, TKernel.Columns);

    private AttentionTiles(AttentionShape shape, int queryStride, int keyStride, int kernelRows, int kernelColumns)
    {
        Shape = shape;
        QueryStride = queryStride;
        KeyStride = keyStride;
        Group = shape.Heads / shape.KeyValueHeads;
        Tokens = Math.Max(1, Math.Min(MaxRows, QueryFloats / shape.HeadSize) / Group);
        Rows = Panels.RoundUp(Tokens * Group, kernelRows);
        Depth = Panels.RoundUp(shape.HeadSize, kernelColumns);
    }

    /// <summary>The layer.</summary>
    public AttentionShape Shape { get; }

    /// <summary>Floats from one row of queries, or of their gradients, to the next.</summary>
    public int QueryStride { get; }

    /// <summary>Floats from one row of keys or values, or of their gradients, to the next.</summary>
    public int KeyStride { get; }

    /// <summary>Floats from one row of the results, or of their gradients, to the next.</summary>
    public int ResultStride => Shape.Heads * Shape.HeadSize;

    /// <summary>Query heads of a key-value head.</summary>
    public int Group { get; }

    /// <summary>Tokens of a query tile.</summary>
    public int Tokens { get; }

    /// <summary>Rows of a query tile, rounded up to whole panels.</summary>
    public int Rows { get; }

    /// <summary>Columns of a head, rounded up to whole panels.</summary>
    public int Depth { get; }

    /// <summary>Query tiles of a sequence.</summary>
    public int Count(int tokens) => (tokens + Tokens - 1) / Tokens;

    /// <summary>First key that a query at <paramref name="position"/> sees.</summary>
    public int FirstKey(int position) => Shape.Window > 0 ? Math.Max(0, position - Shape.Window + 1) : 0;

    /// <summary>Which of all tokens' heads [T, heads] stands in a row of the tile that begins at <paramref name="token"/>.</summary>
    public long Place(int token, int kvHead, int row) => ((long)(token + (row / Group)) * Shape.Heads) + (kvHead * Group) + (row % Group);

    /// <summary>Copies a tile's rows [count·group, D] out of [·, heads·D], or back with <paramref name="back"/>.</summary>
    /// <param name="source">First token's first head of the group.</param>
    /// <param name="stride">Floats from one token's row to the next.</param>
    public void Gather(float* source, int stride, float* tile, int tokens, bool back = false)
    {
        int width = Group * Shape.HeadSize;
        for (int i = 0; i < tokens; i++)
        {
            var outside = new Span<float>(source + ((long)i * stride), width);
            var inside = new Span<float>(tile + (i * width), width);
            if (back)
            {
                inside.CopyTo(outside);
            }
            else
            {
                outside.CopyTo(inside);
            }
        }
    }

    /// <summary>
    /// How many of the keys from <paramref name="firstKey"/> on lie at or before <paramref name="position"/>, at most a tile's.
    /// </summary>
    public static int KeysSeen(int position, int firstKey) => Math.Clamp(position + 1 - firstKey, 0, Keys);

    /// <summary>
    /// First row that sees <paramref name="key"/>, of a query tile whose first token stands at <paramref name="position"/>.
    /// </summary>
    public int FirstRowThatSees(int key, int position, int tokens) => Math.Clamp(key - position, 0, tokens) * Group;

    /// <summary>
    /// Sets the scores of keys that a query at <paramref name="position"/> does not see to −∞, up to the whole vector of lanes that holds
    /// the last one it sees, and those behind it, which were not computed everywhere, to the 0 that all of them become.
    /// </summary>
    /// <returns>The end of that vector.</returns>
    /// <remarks>Scores that are seen are capped first where the layer caps them.</remarks>
    public int Mask(float* scores, int position, int firstKey)
    {
        int end = KeysSeen(position, firstKey);
        int start = Math.Clamp(FirstKey(position) - firstKey, 0, end);
        int lanes = Panels.RoundUp(end, Lanes.Count);
        if (Shape.Cap > 0)
            CapRow(scores, end, Shape.Cap);

        new Span<float>(scores, start).Fill(float.NegativeInfinity);
        new Span<float>(scores + end, lanes - end).Fill(float.NegativeInfinity);
        new Span<float>(scores + lanes, Keys - lanes).Clear();
        return lanes;
    }

    /// <summary>
    /// The rows that see any key of the tile at <paramref name="firstKey"/>, of a query tile whose first token stands at
    /// <paramref name="position"/>: the first, rounded down to a whole panel of <paramref name="panel"/>, and one past the last.
    /// </summary>
    public (int First, int End) RowsThatSee(int firstKey, int position, int tokens, int panel)
    {
        int first = FirstRowThatSees(firstKey, position, tokens);
        int end = Shape.Window > 0 ? Math.Clamp(firstKey + Keys - 1 + Shape.Window - position, 0, tokens) : tokens;
        return (first / panel * panel, end * Group);
    }

    /// <summary>x = cap·tanh(x / cap).</summary>
    public static void CapRow(float* scores, int count, float cap)
    {
        for (int i = 0; i < count; i += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - i);
            Lanes.Store(VectorMath.Tanh(Lanes.Load(scores + i, lanes) / cap) * cap, scores + i, lanes);
        }
    }

    /// <summary>Σ x, x[i] = exp(x[i] − shift) over whole vectors of a row of scores.</summary>
    public static float ExpRow(float* scores, int count, float shift)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0;
        int i = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> s = Vector512<float>.Zero; // s0 and s1 side by side
            for (; i <= count - Vector512<float>.Count; i += Vector512<float>.Count)
            {
                Vector512<float> e = VectorMath.Exp(Vector512.Load(scores + i) - Vector512.Create(shift));
                e.Store(scores + i);
                s += e;
            }

            (s0, s1) = (s.GetLower(), s.GetUpper());
        }

        for (; i < count; i += Lanes.Count)
        {
            Vector256<float> e = VectorMath.Exp(Vector256.Load(scores + i) - Vector256.Create(shift));
            e.Store(scores + i);
            (s0, s1) = (s1, s0 + e);
        }

        return Vector256.Sum(s0 + s1);
    }

    /// <summary>Largest of whole vectors of a row of scores, −∞ of none.</summary>
    public static float MaxRow(float* scores, int count)
    {
        Vector256<float> max = Vector256.Create(float.NegativeInfinity);
        for (int i = 0; i < count; i += Lanes.Count)
        {
            max = Vector256.Max(max, Vector256.Load(scores + i));
        }

        float highest = max.GetElement(0);
        for (int lane = 1; lane < Lanes.Count; lane++)
        {
            highest = MathF.Max(highest, max.GetElement(lane));
        }

        return highest;
    }
}
