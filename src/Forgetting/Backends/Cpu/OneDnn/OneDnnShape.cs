using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>All products with one K and N: equal blocks of columns and a last one.</summary>
internal sealed unsafe class OneDnnShape : IDisposable
{
    private const int MaxWidth = 320;
    private const int WidthStep = 64;

    private GCHandle _handle;

    /// <summary>Makes the primitives.</summary>
    public OneDnnShape(OneDnnLibrary library, nint[] streams, DType type, int n, int k)
    {
        Library = library;
        K = k;
        int blocks = (n + MaxWidth - 1) / MaxWidth;
        int width = blocks == 1 ? n : ((n + blocks - 1) / blocks + WidthStep - 1) / WidthStep * WidthStep;
        Blocks = (n + width - 1) / width;
        int last = n - ((Blocks - 1) * width);
        Whole = new OneDnnBlock(library.Api, streams, type, width, k, n);
        Last = last == width ? Whole : new OneDnnBlock(library.Api, streams, type, last, k, n);
        _handle = GCHandle.Alloc(this);
    }

    /// <summary>The library.</summary>
    public OneDnnLibrary Library { get; }

    /// <summary>Terms of the sum.</summary>
    public int K { get; }

    /// <summary>Blocks of columns.</summary>
    public int Blocks { get; }

    /// <summary>Every block but the last.</summary>
    public OneDnnBlock Whole { get; }

    /// <summary>The last block; the same object where it is as wide.</summary>
    public OneDnnBlock Last { get; }

    /// <summary>Whether the library has code for the shape that treats every row alike.</summary>
    public bool IsUsable => Whole.Tile is not null && Last.Tile is not null;

    /// <summary>
    /// Columns of a panel where B is packed by <see cref="BFloat16Packing.Pairs"/>; 0 where only the library can pack it.
    /// </summary>
    public int PairWidth => Whole.PairWidth == Last.PairWidth ? Whole.PairWidth : 0;

    /// <summary>Bytes of B packed.</summary>
    public long PackedBytes => ((Blocks - 1) * Whole.PackedBytes) + Last.PackedBytes;

    /// <summary>Bytes of scratchpad of any primitive.</summary>
    public long ScratchBytes => Math.Max(Whole.ScratchBytes, Last.ScratchBytes);

    /// <summary>This object for a job, whose fields are numbers.</summary>
    public nint Handle => GCHandle.ToIntPtr(_handle);

    /// <summary>The object of a <see cref="Handle"/>.</summary>
    public static OneDnnShape Of(nint handle) => (OneDnnShape)GCHandle.FromIntPtr(handle).Target!;

    /// <summary>Block <paramref name="index"/>.</summary>
    public OneDnnBlock Block(int index) => index == Blocks - 1 ? Last : Whole;

    /// <inheritdoc/>
    public void Dispose()
    {
        Whole.Dispose();
        if (Last != Whole)
            Last.Dispose();

        _handle.Free();
    }
}
