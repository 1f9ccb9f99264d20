using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>Takes a finished tile of a product out of registers; rows come in order.</summary>
internal interface ITileSink
{
    /// <summary>
    /// Called by whole tiles for every row before the sum begins: what <see cref="Take(int, int, Vector256{float})"/>
    /// will touch may be fetched meanwhile.
    /// </summary>
    void Fetch(int row);

    /// <summary>Columns <paramref name="column"/> … <paramref name="column"/> + 3 of row <paramref name="row"/>.</summary>
    void Take(int row, int column, Vector128<float> value);

    /// <summary>Columns <paramref name="column"/> … <paramref name="column"/> + 7 of row <paramref name="row"/>.</summary>
    void Take(int row, int column, Vector256<float> value);

    /// <summary>Columns <paramref name="column"/> … <paramref name="column"/> + 15 of row <paramref name="row"/>.</summary>
    void Take(int row, int column, Vector512<float> value);
}

/// <summary>
/// The innermost part of every product: a tile of <see cref="Rows"/> × <see cref="Columns"/> stays in registers while k runs. Each
/// element is one chain of multiply-adds in the order of k, so its bits depend neither on the tile's size nor on its place in it.
/// </summary>
internal unsafe interface IMicroKernel
{
    /// <summary>Rows of the tile.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of the tile.</summary>
    static abstract int Columns { get; }

    /// <summary>tile[i, j] = Σ_k a[k·Rows + i]·b[k·stride + j].</summary>
    static abstract void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink;

    /// <summary>The same for the left half of the columns, in half the time: heads of 48 leave half a panel.</summary>
    static abstract void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink;
}

/// <summary>6 × 16: twelve of sixteen 256-bit registers hold the tile (AVX).</summary>
internal readonly unsafe struct Kernel256 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 6;

    /// <inheritdoc/>
    public static int Columns => 16;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector256<float> c00 = Vector256<float>.Zero, c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
        Vector256<float> c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
        for (int row = 0; row < 6; row++)
        {
            sink.Fetch(row);
        }

        for (; k > 0; k--, a += 6, b += stride)
        {
            Vector256<float> b0 = Vector256.Load(b);
            Vector256<float> b1 = Vector256.Load(b + 8);
            Vector256<float> x = Lanes.Repeat(a);
            c00 = Lanes.MultiplyAdd(x, b0, c00);
            c01 = Lanes.MultiplyAdd(x, b1, c01);
            x = Lanes.Repeat(a + 1);
            c10 = Lanes.MultiplyAdd(x, b0, c10);
            c11 = Lanes.MultiplyAdd(x, b1, c11);
            x = Lanes.Repeat(a + 2);
            c20 = Lanes.MultiplyAdd(x, b0, c20);
            c21 = Lanes.MultiplyAdd(x, b1, c21);
            x = Lanes.Repeat(a + 3);
            c30 = Lanes.MultiplyAdd(x, b0, c30);
            c31 = Lanes.MultiplyAdd(x, b1, c31);
            x = Lanes.Repeat(a + 4);
            c40 = Lanes.MultiplyAdd(x, b0, c40);
            c41 = Lanes.MultiplyAdd(x, b1, c41);
            x = Lanes.Repeat(a + 5);
            c50 = Lanes.MultiplyAdd(x, b0, c50);
            c51 = Lanes.MultiplyAdd(x, b1, c51);
        }

        sink.Take(0, 0, c00);
        sink.Take(0, 8, c01);
        sink.Take(1, 0, c10);
        sink.Take(1, 8, c11);
        sink.Take(2, 0, c20);
        sink.Take(2, 8, c21);
        sink.Take(3, 0, c30);
        sink.Take(3, 8, c31);
        sink.Take(4, 0, c40);
        sink.Take(4, 8, c41);
        sink.Take(5, 0, c50);
        sink.Take(5, 8, c51);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector256<float> c0 = Vector256<float>.Zero, c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
        for (; k > 0; k--, a += 6, b += stride)
        {
            Vector256<float> b0 = Vector256.Load(b);
            c0 = Lanes.MultiplyAdd(Lanes.Repeat(a), b0, c0);
            c1 = Lanes.MultiplyAdd(Lanes.Repeat(a + 1), b0, c1);
            c2 = Lanes.MultiplyAdd(Lanes.Repeat(a + 2), b0, c2);
            c3 = Lanes.MultiplyAdd(Lanes.Repeat(a + 3), b0, c3);
            c4 = Lanes.MultiplyAdd(Lanes.Repeat(a + 4), b0, c4);
            c5 = Lanes.MultiplyAdd(Lanes.Repeat(a + 5), b0, c5);
        }

        sink.Take(0, 0, c0);
        sink.Take(1, 0, c1);
        sink.Take(2, 0, c2);
        sink.Take(3, 0, c3);
        sink.Take(4, 0, c4);
        sink.Take(5, 0, c5);
    }
}

/// <summary>12 × 32: twenty-four of thirty-two 512-bit registers hold the tile (AVX-512).</summary>
internal readonly unsafe struct Kernel512 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 12;

    /// <inheritdoc/>
    public static int Columns => 32;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink => Run(k, a, a, b, stride, sink);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector512<float> c0 = Vector512<float>.Zero, c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
        Vector512<float> c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0;
        for (; k > 0; k--, a += 12, b += stride)
        {
            Vector512<float> b0 = Vector512.Load(b);
            c0 = Vector512.MultiplyAddEstimate(Vector512.Create(a[0]), b0, c0);
            c1 = Vector512.MultiplyAddEstimate(Vector512.Create(a[1]), b0, c1);
            c2 = Vector512.MultiplyAddEstimate(Vector512.Create(a[2]), b0, c2);
            c3 = Vector512.MultiplyAddEstimate(Vector512.Create(a[3]), b0, c3);
            c4 = Vector512.MultiplyAddEstimate(Vector512.Create(a[4]), b0, c4);
            c5 = Vector512.MultiplyAddEstimate(Vector512.Create(a[5]), b0, c5);
            c6 = Vector512.MultiplyAddEstimate(Vector512.Create(a[6]), b0, c6);
            c7 = Vector512.MultiplyAddEstimate(Vector512.Create(a[7]), b0, c7);
            c8 = Vector512.MultiplyAddEstimate(Vector512.Create(a[8]), b0, c8);
            c9 = Vector512.MultiplyAddEstimate(Vector512.Create(a[9]), b0, c9);
            c10 = Vector512.MultiplyAddEstimate(Vector512.Create(a[10]), b0, c10);
            c11 = Vector512.MultiplyAddEstimate(Vector512.Create(a[11]), b0, c11);
        }

        sink.Take(0, 0, c0);
        sink.Take(1, 0, c1);
        sink.Take(2, 0, c2);
        sink.Take(3, 0, c3);
        sink.Take(4, 0, c4);
        sink.Take(5, 0, c5);
        sink.Take(6, 0, c6);
        sink.Take(7, 0, c7);
        sink.Take(8, 0, c8);
        sink.Take(9, 0, c9);
        sink.Take(10, 0, c10);
        sink.Take(11, 0, c11);
    }

    // The compiler does not know that `again` is `a`, so each of the first rows' multiply-adds loads and broadcasts its own operand instead
    // of sharing a register: an instruction less a row, which counts where another processor shares the core. The last four rows share, or
    // there would be more than two loads a cycle.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Run<T>(int k, float* a, float* again, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector512<float> c00 = Vector512<float>.Zero, c01 = c00;
        Vector512<float> c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
        Vector512<float> c40 = c00, c41 = c00, c50 = c00, c51 = c00, c60 = c00, c61 = c00;
        Vector512<float> c70 = c00, c71 = c00, c80 = c00, c81 = c00, c90 = c00, c91 = c00;
        Vector512<float> c100 = c00, c101 = c00, c110 = c00, c111 = c00;
        for (int row = 0; row < 12; row++)
        {
            sink.Fetch(row);
        }

        for (; k > 0; k--, a += 12, again += 12, b += stride)
        {
            Vector512<float> b0 = Vector512.Load(b);
            Vector512<float> b1 = Vector512.Load(b + 16);
            c00 = Vector512.MultiplyAddEstimate(Vector512.Create(a[0]), b0, c00);
            c01 = Vector512.MultiplyAddEstimate(Vector512.Create(again[0]), b1, c01);
            c10 = Vector512.MultiplyAddEstimate(Vector512.Create(a[1]), b0, c10);
            c11 = Vector512.MultiplyAddEstimate(Vector512.Create(again[1]), b1, c11);
            c20 = Vector512.MultiplyAddEstimate(Vector512.Create(a[2]), b0, c20);
            c21 = Vector512.MultiplyAddEstimate(Vector512.Create(again[2]), b1, c21);
            c30 = Vector512.MultiplyAddEstimate(Vector512.Create(a[3]), b0, c30);
            c31 = Vector512.MultiplyAddEstimate(Vector512.Create(again[3]), b1, c31);
            c40 = Vector512.MultiplyAddEstimate(Vector512.Create(a[4]), b0, c40);
            c41 = Vector512.MultiplyAddEstimate(Vector512.Create(again[4]), b1, c41);
            c50 = Vector512.MultiplyAddEstimate(Vector512.Create(a[5]), b0, c50);
            c51 = Vector512.MultiplyAddEstimate(Vector512.Create(again[5]), b1, c51);
            c60 = Vector512.MultiplyAddEstimate(Vector512.Create(a[6]), b0, c60);
            c61 = Vector512.MultiplyAddEstimate(Vector512.Create(again[6]), b1, c61);
            c70 = Vector512.MultiplyAddEstimate(Vector512.Create(a[7]), b0, c70);
            c71 = Vector512.MultiplyAddEstimate(Vector512.Create(again[7]), b1, c71);
            Vector512<float> x = Vector512.Create(a[8]);
            c80 = Vector512.MultiplyAddEstimate(x, b0, c80);
            c81 = Vector512.MultiplyAddEstimate(x, b1, c81);
            x = Vector512.Create(a[9]);
            c90 = Vector512.MultiplyAddEstimate(x, b0, c90);
            c91 = Vector512.MultiplyAddEstimate(x, b1, c91);
            x = Vector512.Create(a[10]);
            c100 = Vector512.MultiplyAddEstimate(x, b0, c100);
            c101 = Vector512.MultiplyAddEstimate(x, b1, c101);
            x = Vector512.Create(a[11]);
            c110 = Vector512.MultiplyAddEstimate(x, b0, c110);
            c111 = Vector512.MultiplyAddEstimate(x, b1, c111);
        }

        sink.Take(0, 0, c00);
        sink.Take(0, 16, c01);
        sink.Take(1, 0, c10);
        sink.Take(1, 16, c11);
        sink.Take(2, 0, c20);
        sink.Take(2, 16, c21);
        sink.Take(3, 0, c30);
        sink.Take(3, 16, c31);
        sink.Take(4, 0, c40);
        sink.Take(4, 16, c41);
        sink.Take(5, 0, c50);
        sink.Take(5, 16, c51);
        sink.Take(6, 0, c60);
        sink.Take(6, 16, c61);
        sink.Take(7, 0, c70);
        sink.Take(7, 16, c71);
        sink.Take(8, 0, c80);
        sink.Take(8, 16, c81);
        sink.Take(9, 0, c90);
        sink.Take(9, 16, c91);
        sink.Take(10, 0, c100);
        sink.Take(10, 16, c101);
        sink.Take(11, 0, c110);
        sink.Take(11, 16, c111);
    }
}

/// <summary>One row by the columns of <see cref="Kernel256"/>, as in decoding: it reads B as fast as memory gives it.</summary>
internal readonly unsafe struct RowKernel256 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 1;

    /// <inheritdoc/>
    public static int Columns => Kernel256.Columns;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector256<float> c0 = Vector256<float>.Zero, c1 = c0;
        for (; k > 0; k--, a++, b += stride)
        {
            Vector256<float> x = Lanes.Repeat(a);
            c0 = Lanes.MultiplyAdd(x, Vector256.Load(b), c0);
            c1 = Lanes.MultiplyAdd(x, Vector256.Load(b + 8), c1);
        }

        sink.Take(0, 0, c0);
        sink.Take(0, 8, c1);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector256<float> c0 = Vector256<float>.Zero;
        for (; k > 0; k--, a += 1, b += stride)
        {
            Vector256<float> b0 = Vector256.Load(b);
            c0 = Lanes.MultiplyAdd(Lanes.Repeat(a), b0, c0);
        }

        sink.Take(0, 0, c0);
    }
}

/// <summary>One row by the columns of <see cref="Kernel512"/>.</summary>
internal readonly unsafe struct RowKernel512 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 1;

    /// <inheritdoc/>
    public static int Columns => Kernel512.Columns;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector512<float> c0 = Vector512<float>.Zero, c1 = c0;
        for (; k > 0; k--, a++, b += stride)
        {
            var x = Vector512.Create(*a);
            c0 = Vector512.MultiplyAddEstimate(x, Vector512.Load(b), c0);
            c1 = Vector512.MultiplyAddEstimate(x, Vector512.Load(b + 16), c1);
        }

        sink.Take(0, 0, c0);
        sink.Take(0, 16, c1);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector512<float> c0 = Vector512<float>.Zero;
        for (; k > 0; k--, a += 1, b += stride)
        {
            Vector512<float> b0 = Vector512.Load(b);
            c0 = Vector512.MultiplyAddEstimate(Vector512.Create(a[0]), b0, c0);
        }

        sink.Take(0, 0, c0);
    }
}
