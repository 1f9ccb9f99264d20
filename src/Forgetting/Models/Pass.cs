using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// What the layers share during one pass over a batch: where to compute, where to put activations, and the batch's index vectors.
/// </summary>
/// <param name="rotary">Angles of the rotary positions of each block, null for a block that has none.</param>
/// <param name="heads">Numbers of heads into which rows of queries and keys are cut for norms of their own.</param>
internal sealed class Pass(IBackend backend, Arena arena, RotaryTable?[] rotary, int[] heads)
{
    private int[] _joined = []; // what one copy brings
    private Tensor _dropoutSeed; // Int32 [1, 2]
    private Tensor _rowKeys; // Int32 [1, T]
    private readonly Tensor[] _headOffsets = new Tensor[heads.Length]; // Int32 [1, n + 1] each

    public IBackend Backend => backend;

    /// <summary>Activations. What a layer takes in its forward it finds again in its backward; scratch is released at once.</summary>
    public Arena Arena => arena;

    /// <summary>T.</summary>
    public int Rows { get; private set; }

    /// <summary>Int32 [1, T].</summary>
    public Tensor Ids { get; private set; }

    /// <summary>Int32 [1, T].</summary>
    public Tensor Positions { get; private set; }

    /// <summary>Int32 [1, T]: rows of the tables of blocks in which longer texts turn otherwise; positions, where none does.</summary>
    public Tensor Turns { get; private set; }

    /// <summary>Int32 [1, n + 1].</summary>
    public Tensor Offsets { get; private set; }

    /// <summary>Whether dropout is on.</summary>
    public bool Dropout => !_rowKeys.IsEmpty;

    /// <summary>Keys and values of earlier tokens while generating, else null.</summary>
    public KeyValueCache? Cache { get; private set; }

    /// <summary>Starts a pass: gives back all activations of the last one and uploads the index vectors.</summary>
    /// <param name="rowKeys">[T], read only with <paramref name="dropoutSeed"/>.</param>
    public void Begin(
        ReadOnlySpan<int> ids, ReadOnlySpan<int> positions, ReadOnlySpan<int> offsets,
        ReadOnlySpan<int> rowKeys = default, ulong? dropoutSeed = null, KeyValueCache? cache = null)
    {
        arena.Reset();
        Rows = ids.Length;
        (Ids, Positions, Offsets) = Upload(ids, positions, offsets);
        for (int i = 0; i < heads.Length; i++)
        {
            _headOffsets[i] = Upload(offsets, heads[i]);
        }

        _dropoutSeed = dropoutSeed is { } seed ? Upload([(int)seed, (int)(seed >> 32)]) : default;
        _rowKeys = dropoutSeed is null ? default : Upload(rowKeys);
        Cache = cache;
        cache?.Begin(this);
        int last = 0;
        foreach (int position in positions)
        {
            last = Math.Max(last, position);
        }

        int firstOfLonger = 0;
        foreach (RotaryTable? table in rotary)
        {
            firstOfLonger = Math.Max(firstOfLonger, table?.FirstOfLonger ?? 0);
        }

        (Turns, int longest) = firstOfLonger == 0 ? (Positions, 0) : FindTurns(positions, offsets, firstOfLonger);
        foreach (RotaryTable? table in rotary)
        {
            table?.Extend(table.FirstOfLonger == 0 || longest == 0 ? last + 1 : firstOfLonger + longest);
        }
    }

    /// <summary>Angles of the rotary positions of a block, and their rows there; null where it has none.</summary>
    public (RotaryTable Table, Tensor Rows)? Rotary(int layer) =>
        rotary[layer] is not { } table ? null : (table, table.FirstOfLonger == 0 ? Positions : Turns);

    // What is known of a text decides, whether it is read in this pass or not. Returns the length of the longest that is longer, or 0.
    private (Tensor Turns, int Longest) FindTurns(ReadOnlySpan<int> positions, ReadOnlySpan<int> offsets, int firstOfLonger)
    {
        int[] rows = positions.ToArray();
        int longest = 0;
        for (int i = 0; i + 1 < offsets.Length; i++)
        {
            int start = offsets[i], end = offsets[i + 1];
            int length = start == end ? 0 : Cache?.Known(i) ?? positions[end - 1] + 1;
            if (length <= firstOfLonger)
                continue;

            longest = Math.Max(longest, length);
            for (int t = start; t < end; t++)
            {
                rows[t] += firstOfLonger;
            }
        }

        return (Upload(rows), longest);
    }

    /// <summary>Int32 [1, n + 1]: first row of each document where every token has a row for each of so many heads.</summary>
    public Tensor HeadOffsets(int count) => _headOffsets[Array.IndexOf(heads, count)];

    /// <summary>The mask of the layer numbered <paramref name="stream"/>, where dropout is on.</summary>
    public DropoutMask Mask(float rate, int stream) => new(rate, stream, _dropoutSeed, _rowKeys);

    /// <summary>[T, <paramref name="columns"/>] in storage type.</summary>
    public Tensor Take(int columns) => arena.Take(Rows, columns, backend.StorageType);

    /// <summary>A vector of the host's integers.</summary>
    public Tensor Upload(ReadOnlySpan<int> values)
    {
        Tensor tensor = arena.Take(new Shape(values.Length), DType.Int32);
        backend.Upload(values, tensor);
        return tensor;
    }

    // A vector of the host's integers times a factor.
    private Tensor Upload(ReadOnlySpan<int> values, int factor)
    {
        Span<int> products = values.Length <= 512 ? stackalloc int[values.Length] : new int[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            products[i] = checked(values[i] * factor);
        }

        return Upload(products);
    }

    /// <summary>Three vectors of the host's integers in one copy.</summary>
    public (Tensor First, Tensor Second, Tensor Third) Upload(ReadOnlySpan<int> first, ReadOnlySpan<int> second, ReadOnlySpan<int> third)
    {
        int secondAt = Aligned(first.Length);
        int thirdAt = secondAt + Aligned(second.Length);
        int length = thirdAt + third.Length;
        if (_joined.Length < length)
            _joined = new int[2 * length];

        first.CopyTo(_joined);
        second.CopyTo(_joined.AsSpan(secondAt));
        third.CopyTo(_joined.AsSpan(thirdAt));
        Tensor all = Upload(_joined.AsSpan(0, length));
        return (At(0, first.Length), At(secondAt, second.Length), At(thirdAt, third.Length));

        Tensor At(int start, int count) => new(all.Pointer + (start * sizeof(int)), new Shape(count), DType.Int32);

        // To 256 bytes, as what the arena gives is.
        static int Aligned(int count) => (count + 63) / 64 * 64;
    }

    /// <summary>A vector of the host's numbers.</summary>
    public Tensor Upload(ReadOnlySpan<float> values)
    {
        Tensor tensor = arena.Take(new Shape(values.Length));
        backend.Upload(values, tensor);
        return tensor;
    }
}
