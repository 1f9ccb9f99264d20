using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>A product of operands that lie in panels (<see cref="Panels"/>), on one thread.</summary>
internal static unsafe class PackedProduct
{
    /// <summary>C = α·A·B + β·C; β = 0 does not read C.</summary>
    /// <param name="a">Panels of <typeparamref name="TKernel"/>'s rows, <paramref name="panelA"/> floats apart.</param>
    /// <param name="b">Panels of its columns, <paramref name="panelB"/> floats apart.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart.</param>
    public static void Run<TKernel>(int m, int n, int k, float* a, long panelA, float* b, long panelB, float alpha, float beta, float* c, int ldc)
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
                if (height == TKernel.Rows && width == TKernel.Columns)
                {
                    TKernel.Run(k, panel, b, TKernel.Columns, new UpdateFull(tile, ldc, alpha, beta));
                }
                else
                {
                    TKernel.Run(k, panel, b, TKernel.Columns, new UpdatePart(tile, ldc, alpha, beta, height, width));
                }
            }
        }
    }

    /// <summary>c = α·value + β·c.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Update(Vector256<float> value, float* c, float alpha, float beta, int lanes)
    {
        Vector256<float> result = value * alpha;
        if (beta != 0)
        {
            result = Lanes.MultiplyAdd(Lanes.Load(c, lanes), Vector256.Create(beta), result);
        }

        Lanes.Store(result, c, lanes);
    }

    private readonly struct UpdateFull(float* c, int ldc, float alpha, float beta) : ITileSink
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value) =>
            Update(value, c + ((long)row * ldc) + column, alpha, beta, Lanes.Count);
    }

    private readonly struct UpdatePart(float* c, int ldc, float alpha, float beta, int height, int width) : ITileSink
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value)
        {
            if (row < height && column < width)
            {
                Update(value, c + ((long)row * ldc) + column, alpha, beta, Math.Min(Lanes.Count, width - column));
            }
        }
    }
}
