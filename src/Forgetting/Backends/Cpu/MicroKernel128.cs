using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// 6 × 8: twelve of sixteen 128-bit registers hold the tile. Where there is no fused multiply-add, one is left for a
/// row's value and one for a product.
/// </summary>
internal readonly unsafe struct Kernel128 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 6;

    /// <inheritdoc/>
    public static int Columns => 8;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector128<float> c00 = Vector128<float>.Zero, c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
        Vector128<float> c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
        for (int row = 0; row < 6; row++)
        {
            sink.Fetch(row);
        }

        for (; k > 0; k--, a += 6, b += stride)
        {
            Vector128<float> b0 = Vector128.Load(b);
            Vector128<float> b1 = Vector128.Load(b + 4);
            Vector128<float> x = Vector128.Create(a[0]);
            c00 = Vector128.MultiplyAddEstimate(x, b0, c00);
            c01 = Vector128.MultiplyAddEstimate(x, b1, c01);
            x = Vector128.Create(a[1]);
            c10 = Vector128.MultiplyAddEstimate(x, b0, c10);
            c11 = Vector128.MultiplyAddEstimate(x, b1, c11);
            x = Vector128.Create(a[2]);
            c20 = Vector128.MultiplyAddEstimate(x, b0, c20);
            c21 = Vector128.MultiplyAddEstimate(x, b1, c21);
            x = Vector128.Create(a[3]);
            c30 = Vector128.MultiplyAddEstimate(x, b0, c30);
            c31 = Vector128.MultiplyAddEstimate(x, b1, c31);
            x = Vector128.Create(a[4]);
            c40 = Vector128.MultiplyAddEstimate(x, b0, c40);
            c41 = Vector128.MultiplyAddEstimate(x, b1, c41);
            x = Vector128.Create(a[5]);
            c50 = Vector128.MultiplyAddEstimate(x, b0, c50);
            c51 = Vector128.MultiplyAddEstimate(x, b1, c51);
        }

        sink.Take(0, 0, c00);
        sink.Take(0, 4, c01);
        sink.Take(1, 0, c10);
        sink.Take(1, 4, c11);
        sink.Take(2, 0, c20);
        sink.Take(2, 4, c21);
        sink.Take(3, 0, c30);
        sink.Take(3, 4, c31);
        sink.Take(4, 0, c40);
        sink.Take(4, 4, c41);
        sink.Take(5, 0, c50);
        sink.Take(5, 4, c51);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector128<float> c0 = Vector128<float>.Zero, c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0;
        for (; k > 0; k--, a += 6, b += stride)
        {
            Vector128<float> b0 = Vector128.Load(b);
            c0 = Vector128.MultiplyAddEstimate(Vector128.Create(a[0]), b0, c0);
            c1 = Vector128.MultiplyAddEstimate(Vector128.Create(a[1]), b0, c1);
            c2 = Vector128.MultiplyAddEstimate(Vector128.Create(a[2]), b0, c2);
            c3 = Vector128.MultiplyAddEstimate(Vector128.Create(a[3]), b0, c3);
            c4 = Vector128.MultiplyAddEstimate(Vector128.Create(a[4]), b0, c4);
            c5 = Vector128.MultiplyAddEstimate(Vector128.Create(a[5]), b0, c5);
        }

        sink.Take(0, 0, c0);
        sink.Take(1, 0, c1);
        sink.Take(2, 0, c2);
        sink.Take(3, 0, c3);
        sink.Take(4, 0, c4);
        sink.Take(5, 0, c5);
    }
}

/// <summary>One row by the columns of <see cref="Kernel128"/>.</summary>
internal readonly unsafe struct RowKernel128 : IMicroKernel
{
    /// <inheritdoc/>
    public static int Rows => 1;

    /// <inheritdoc/>
    public static int Columns => Kernel128.Columns;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector128<float> c0 = Vector128<float>.Zero, c1 = c0;
        for (; k > 0; k--, a++, b += stride)
        {
            Vector128<float> x = Vector128.Create(*a);
            c0 = Vector128.MultiplyAddEstimate(x, Vector128.Load(b), c0);
            c1 = Vector128.MultiplyAddEstimate(x, Vector128.Load(b + 4), c1);
        }

        sink.Take(0, 0, c0);
        sink.Take(0, 4, c1);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunHalf<T>(int k, float* a, float* b, nint stride, T sink)
        where T : struct, ITileSink
    {
        Vector128<float> c0 = Vector128<float>.Zero;
        for (; k > 0; k--, a++, b += stride)
        {
            c0 = Vector128.MultiplyAddEstimate(Vector128.Create(*a), Vector128.Load(b), c0);
        }

        sink.Take(0, 0, c0);
    }
}
