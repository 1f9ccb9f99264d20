using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>
/// The primitives for some columns of all products with the same K and N: C [rows, width] = A [rows, k]·B [k, width], always for the same
/// numbers of rows, since oneDNN's code and with it the order of a sum depends on the shape of a product.
/// </summary>
/// <remarks>
/// What the library does not promise is tried when the primitives are made, on rows that are all the same: every row of the result must
/// have the same bits, and the primitives among each other. One that differs is not used for rows that must not depend on their batch, and
/// without <see cref="Tile"/> the product is left to the managed provider.
/// </remarks>
internal sealed unsafe class OneDnnBlock : IDisposable
{
    /// <summary>Rows of a product of ordinary size.</summary>
    public const int Rows = 64;

    /// <summary>Rows of a product of few rows.</summary>
    public const int FewRows = 16;

    private static readonly int[] s_pairWidths = [64, 48, 32, 16];

    private readonly OneDnnApi _api;
    private readonly nint[] _streams;
    private readonly DType _type;
    private readonly int _width;
    private readonly int _k;
    private readonly nint _source;
    private readonly nint _fewSource;
    private readonly nint _tile;
    private readonly nint _fewTile;
    private readonly nint _place;
    private readonly Dictionary<(long, long), OneDnnPrimitive> _reorders = [];
    private readonly List<nint> _plain = [];

    /// <summary>Makes the primitives; <see cref="Tile"/> stays null where the library has no fast code or its rows differ.</summary>
    /// <param name="type">Type of A and of packed B.</param>
    /// <param name="stride">Columns of C, for the primitives that write there.</param>
    public OneDnnBlock(OneDnnApi api, nint[] streams, DType type, int width, int k, int stride)
    {
        (_api, _streams, _type, _width, _k) = (api, streams, type, width, k);
        _source = api.Matrix(Rows, k, type, k, 1);
        _fewSource = api.Matrix(FewRows, k, type, k, 1);
        _tile = api.Matrix(Rows, width, DType.Float32, width, 1);
        _fewTile = api.Matrix(FewRows, width, DType.Float32, width, 1);
        _place = api.Matrix(Rows, width, DType.Float32, stride, 1);
        nint any = api.Matrix(k, width, type, 0, 0);
        Tile = Make(_source, any, _tile, add: false);
        api.FreeMatrix(any);
        if (Tile is null)
            return;

        PackedBytes = (api.Bytes(Tile.Weights) + 63) / 64 * 64;
        FewTile = Make(_fewSource, Tile.Weights, _fewTile, add: false);
        Direct = Make(_source, Tile.Weights, _place, add: false);
        Added = Make(_source, Tile.Weights, _place, add: true);
        ScratchBytes = new[] { Tile, FewTile, Direct, Added }.Max(p => p?.ScratchBytes ?? 0);
        try
        {
            Try(stride);
        }
        catch (OneDnnException)
        {
            // A layout that nothing can be copied to is of no use.
            Drop();
        }
    }

    /// <summary>Result in a tile [<see cref="Rows"/>, width] of its own.</summary>
    public OneDnnPrimitive? Tile { get; private set; }

    /// <summary>The same for <see cref="FewRows"/>.</summary>
    public OneDnnPrimitive? FewTile { get; private set; }

    /// <summary>Result in C.</summary>
    public OneDnnPrimitive? Direct { get; private set; }

    /// <summary>Result added to C.</summary>
    public OneDnnPrimitive? Added { get; }

    /// <summary>Whether that gives the bits of a result that is added afterwards; it does not where the sum begins with C.</summary>
    public bool AddsLast { get; private set; }

    /// <summary>Columns.</summary>
    public int Width => _width;

    /// <summary>Bytes of B packed, a multiple of 64.</summary>
    public long PackedBytes { get; }

    /// <summary>
    /// Columns of a block of <see cref="BFloat16Packing.Pairs"/> where that is the library's layout, and 0 where it is another: the
    /// library's own copies into it take several times as long.
    /// </summary>
    public int PairWidth { get; private set; }

    /// <summary>Most bytes of scratchpad of any of the primitives.</summary>
    public long ScratchBytes { get; }

    /// <summary>The primitive that packs B from rows and columns so many floats apart.</summary>
    public OneDnnPrimitive Reorder(long strideOfRows, long strideOfColumns)
    {
        if (!_reorders.TryGetValue((strideOfRows, strideOfColumns), out OneDnnPrimitive? reorder))
        {
            nint plain = _api.Matrix(_k, _width, DType.Float32, strideOfRows, strideOfColumns);
            _plain.Add(plain);
            nint packed = Tile!.Weights;
            reorder = new OneDnnPrimitive(
                _api, _api.Reorder(plain, packed), _streams, (OneDnnApi.Source, plain), (OneDnnApi.Destination, packed));
            _reorders.Add((strideOfRows, strideOfColumns), reorder);
        }

        return reorder;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (OneDnnPrimitive? primitive in new[] { Added, Direct, FewTile, Tile }.Concat(_reorders.Values))
        {
            primitive?.Dispose();
        }

        foreach (nint layout in _plain.Concat([_source, _fewSource, _tile, _fewTile, _place]))
        {
            _api.FreeMatrix(layout);
        }
    }

    private OneDnnPrimitive? Make(nint source, nint weights, nint destination, bool add)
    {
        nint descriptor = _api.Matmul(source, weights, destination, add);
        if (descriptor == 0)
            return null;

        // The reference code of the library is a hundred times slower than anything else.
        if (_api.ImplementationOf(descriptor).StartsWith("ref", StringComparison.Ordinal))
        {
            _api.Free(descriptor, "dnnl_primitive_desc_destroy");
            return null;
        }

        return new OneDnnPrimitive(
            _api, descriptor, _streams, (OneDnnApi.Source, source), (OneDnnApi.Weights, _api.WeightsOf(descriptor)),
            (OneDnnApi.Destination, destination));
    }

    private void Try(int stride)
    {
        OneDnnPrimitive reorder = Reorder(_width, 1);
        long scratchBytes = Math.Max(ScratchBytes, reorder.ScratchBytes);
        long floats = ((long)Rows * _k) + ((long)_k * _width) + ((long)Rows * stride) + 64;
        float* memory = (float*)NativeMemory.AlignedAlloc((nuint)((sizeof(float) * floats) + PackedBytes + scratchBytes + 256), 64);
        try
        {
            float* c = memory;
            byte* packed = (byte*)(c + (((long)Rows * stride) + 15) / 16 * 16);
            byte* scratch = packed + PackedBytes;
            float* b = (float*)(scratch + ((scratchBytes + 63) / 64 * 64));
            void* a = b + ((((long)_k * _width) + 15) / 16 * 16);
            Fill(b, (long)_k * _width, 0x9E3779B9);
            reorder.Run([(nint)b, (nint)packed, (nint)scratch]);
            Reorder(1, _k); // from the other orientation it must be possible, too
            PairWidth = _type == DType.BFloat16 ? FindPairWidth(b, new ReadOnlySpan<byte>(packed, (int)PackedBytes)) : 0;
            FillRows(a);

            float[] row = Result(Tile!, _width, Rows, 0) ?? [];
            if (row.Length == 0)
            {
                Drop();
                return;
            }

            float[] sum = Array.ConvertAll(row, value => value + 1);
            FewTile = Keep(FewTile, _width, FewRows, 0, row);
            Direct = Keep(Direct, stride, Rows, 0, row);
            AddsLast = Added is not null && Result(Added, stride, Rows, 1).AsSpan().SequenceEqual(sum);

            OneDnnPrimitive? Keep(OneDnnPrimitive? primitive, int apart, int rows, float before, float[] expected)
            {
                if (primitive is null || Result(primitive, apart, rows, before).AsSpan().SequenceEqual(expected))
                    return primitive;

                primitive.Dispose();
                return null;
            }

            float[]? Result(OneDnnPrimitive primitive, int apart, int rows, float before)
            {
                new Span<float>(c, rows * apart).Fill(before);
                primitive.Run([(nint)a, (nint)packed, (nint)c, (nint)scratch]);
                var first = new ReadOnlySpan<float>(c, _width);
                for (int i = 1; i < rows; i++)
                {
                    if (!first.SequenceEqual(new ReadOnlySpan<float>(c + ((long)i * apart), _width)))
                        return null;
                }

                return first.ToArray();
            }
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    private int FindPairWidth(float* b, ReadOnlySpan<byte> packed)
    {
        byte[] own = new byte[packed.Length];
        fixed (byte* destination = own)
        {
            foreach (int width in s_pairWidths)
            {
                long bytes = BFloat16Packing.PairsBytes(_width, _k, width);
                if (bytes != _api.Bytes(Tile!.Weights))
                    continue;

                BFloat16Packing.Pairs(b, _width, false, _width, _k, _k, width, (ushort*)destination, BFloat16Packing.PanelSize(_k, width));
                if (own.AsSpan(0, (int)bytes).SequenceEqual(packed[..(int)bytes]))
                    return width;
            }
        }

        return 0;
    }

    private void Drop()
    {
        foreach (OneDnnPrimitive? primitive in new[] { Direct, FewTile, Tile })
        {
            primitive?.Dispose();
        }

        (Direct, FewTile, Tile) = (null, null, null);
    }

    private void FillRows(void* a)
    {
        float* row = stackalloc float[1];
        for (int j = 0; j < _k; j++)
        {
            Fill(row, 1, 0x85EBCA6B * (uint)(j + 1));
            for (int i = 0; i < Rows; i++)
            {
                if (_type == DType.BFloat16)
                {
                    ((ushort*)a)[((long)i * _k) + j] = (ushort)(BitConverter.SingleToUInt32Bits(*row) >> 16);
                }
                else
                {
                    ((float*)a)[((long)i * _k) + j] = *row;
                }
            }
        }
    }

    // Any numbers in ±1 whose sums round: a linear congruential generator's upper bits.
    private static void Fill(float* values, long count, uint seed)
    {
        for (long i = 0; i < count; i++)
        {
            seed = (seed * 1664525) + 1013904223;
            values[i] = ((seed >> 8) / (float)(1 << 23)) - 1;
        }
    }
}
