using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>A product of operands that lie in panels (<see cref="Panels"/>), on one thread.</summary>
internal static unsafe class PackedProduct
{
    /// <summary>C = α·A·B + β·C; β = 0 does not read C.</summary>
    /// <param name="a">Panels of <typeparamref name="TKernel"/>'s rows, <paramref name="panelA"/> floats apart.</param>
    /// <param name="b">Panels of its columns, <paramref name="panelB"/> floats apart.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart.</param>
    /// <param name="streams">Store whole tiles past the caches and end with a store fence (<see cref="Product.Streams"/>); β is 0.</param>
    public static void Run<TKernel>(
        int m, int n, int k, float* a, long panelA, float* b, long panelB, float alpha, float beta, float* c, int ldc, bool streams = false)
        where TKernel : unmanaged, IMicroKernel
    {
        for (int column = 0; column < n; column += TKernel.Columns, b += panelB)
        {
            int width = Math.Min(TKernel.Columns, n - column);
            float* panel = a;
            for (int row = 0; row < m; row += TKernel.Rows, panel += panelA)
            {
                float* tile = c + ((long)row * ldc) + column;
                int height = Math.Min(TKernel.Rows, m - row);
                bool half = 2 * width <= TKernel.Columns;
                if (height < TKernel.Rows || (width != TKernel.Columns && 2 * width != TKernel.Columns))
                {
                    Tile<TKernel, UpdatePart>(half, k, panel, b, new UpdatePart(tile, ldc, alpha, beta, height, width));
                }
                else if (streams)
                {
                    Tile<TKernel, StreamFull>(half, k, panel, b, new StreamFull(tile, ldc, alpha));
                }
                else if (beta == 0)
                {
                    Tile<TKernel, StoreFull>(half, k, panel, b, new StoreFull(tile, ldc, alpha));
                }
                else
                {
                    Tile<TKernel, UpdateFull>(half, k, panel, b, new UpdateFull(tile, ldc, alpha, beta));
                }
            }
        }

        if (streams)
            Sse.StoreFence();
    }

    /// <summary>c = α·value + β·c.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Update(Vector256<float> value, float* c, float alpha, float beta, int lanes)
    {
        Vector256<float> result = value * alpha;
        if (beta != 0)
            result = Lanes.MultiplyAdd(Lanes.Load(c, lanes), Vector256.Create(beta), result);

        Lanes.Store(result, c, lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile<TKernel, TSink>(bool half, int k, float* a, float* b, TSink sink)
        where TKernel : unmanaged, IMicroKernel
        where TSink : struct, ITileSink
    {
        if (half)
        {
            TKernel.RunHalf(k, a, b, TKernel.Columns, sink);
        }
        else
        {
            TKernel.Run(k, a, b, TKernel.Columns, sink);
        }
    }

    // The lines of a tile of the kernels' widths; where none is written to, memory that does not belong to C is fetched in vain.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fetch(float* row)
    {
        Lanes.Fetch(row);
        Lanes.Fetch(row + 16);
    }

    private readonly struct StoreFull(float* c, int ldc, float alpha) : ITileSink
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Fetch(int row) => PackedProduct.Fetch(c + ((long)row * ldc));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector128<float> value) => (value * alpha).Store(c + ((long)row * ldc) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value) => (value * alpha).Store(c + ((long)row * ldc) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector512<float> value) => (value * alpha).Store(c + ((long)row * ldc) + column);
    }

    private readonly struct StreamFull(float* c, int ldc, float alpha) : ITileSink
    {
        public void Fetch(int row)
        {
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector128<float> value) =>
            (value * alpha).StoreAlignedNonTemporal(c + ((long)row * ldc) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value) =>
            (value * alpha).StoreAlignedNonTemporal(c + ((long)row * ldc) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector512<float> value) =>
            (value * alpha).StoreAlignedNonTemporal(c + ((long)row * ldc) + column);
    }

    private readonly struct UpdateFull(float* c, int ldc, float alpha, float beta) : ITileSink
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Fetch(int row) => PackedProduct.Fetch(c + ((long)row * ldc));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector128<float> value)
        {
            float* target = c + ((long)row * ldc) + column;
            Vector128.MultiplyAddEstimate(Vector128.Load(target), Vector128.Create(beta), value * alpha).Store(target);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value)
        {
            float* target = c + ((long)row * ldc) + column;
            Lanes.MultiplyAdd(Vector256.Load(target), Vector256.Create(beta), value * alpha).Store(target);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector512<float> value)
        {
            float* target = c + ((long)row * ldc) + column;
            Vector512.MultiplyAddEstimate(Vector512.Load(target), Vector512.Create(beta), value * alpha).Store(target);
        }
    }

    private readonly struct UpdatePart(float* c, int ldc, float alpha, float beta, int height, int width) : ITileSink
    {
        public void Fetch(int row)
        {
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector128<float> value)
        {
            if (row < height && column < width)
            {
                int lanes = Math.Min(Vector128<float>.Count, width - column);
                Update(Vector256.Create(value, Vector128<float>.Zero), c + ((long)row * ldc) + column, alpha, beta, lanes);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value)
        {
            if (row < height && column < width)
                Update(value, c + ((long)row * ldc) + column, alpha, beta, Math.Min(Lanes.Count, width - column));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector512<float> value)
        {
            Take(row, column, value.GetLower());
            Take(row, column + Lanes.Count, value.GetUpper());
        }
    }
}
