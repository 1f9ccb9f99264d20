using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// x·Wᵀ for a few rows x and a W that is not packed, which to do would cost more than the product: eight rows of W at a time are turned
/// into columns in registers, for four rows of x, and serve the next four from the first-level cache. Each element is summed exactly as
/// <see cref="ManagedMatMul"/> does it, so a token decoded alone gets the bits it gets in a batch.
/// </summary>
internal static unsafe class ThinProduct
{
    /// <summary>Most rows of x.</summary>
    public const int MaxRows = 16;

    /// <summary>Whether a product has this form.</summary>
    public static bool Suits(in Product product) => Avx.IsSupported && product is { M: <= MaxRows, TransposeA: false, TransposeB: true };

    /// <summary>Computes it.</summary>
    /// <param name="round">Round the operands to bfloat16.</param>
    /// <param name="rows">Memory for M·K floats.</param>
    public static void Run(WorkerPool pool, in Product product, bool round, float* rows)
    {
        // About 64 KiB of W each.
        int columns = Math.Clamp((1 << 14) / Math.Max(product.K, 1), 1, product.N) + 7 & ~7;
        int tasks = (product.N + columns - 1) / columns;
        if (!round)
        {
            pool.Run(new Job<Exact>(product, product.A, product.Lda, columns), tasks);
            return;
        }

        for (int row = 0; row < product.M; row++)
        {
            Lanes.RoundToBFloat16(product.A + ((long)row * product.Lda), rows + ((long)row * product.K), product.K);
        }

        pool.Run(new Job<Rounded>(product, rows, product.K, columns), tasks);
    }

    /// <param name="a">Rows x, <paramref name="lda"/> apart, as they enter the product.</param>
    private readonly struct Job<TOperand>(Product product, float* a, int lda, int columnsPerTask) : IJob
        where TOperand : struct, IOperand
    {
        public void Run(int index, byte* scratch)
        {
            int end = Math.Min((index + 1) * columnsPerTask, product.N);
            for (int column = index * columnsPerTask; column < end; column += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, end - column);
                for (int row = 0; row < product.M; row += 4)
                {
                    if (product.M - row == 1)
                    {
                        Columns<One>(row, column, lanes);
                    }
                    else
                    {
                        Columns<Four>(row, column, lanes);
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Columns<TRows>(int row, int column, int lanes)
            where TRows : struct, IRows
        {
            float** w = stackalloc float*[Lanes.Count];
            for (int i = 0; i < Lanes.Count; i++)
            {
                // Rows of W past the last are read as the last and not stored.
                w[i] = product.B + ((long)(column + Math.Min(i, lanes - 1)) * product.Ldb);
            }

            float* x0 = a + ((long)row * lda);
            float* x1 = x0 + (row + 1 < product.M ? lda : 0);
            float* x2 = x1 + (row + 2 < product.M ? lda : 0);
            float* x3 = x2 + (row + 3 < product.M ? lda : 0);
            int step = ManagedMatMul.DepthOf(product.K);
            int k = 0;
            do
            {
                Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
                int end = Math.Min(k + step, product.K);
                float beta = k == 0 ? product.Beta : 1;
                for (; k <= end - 8; k += 8)
                {
                    Vector256<float> r0 = TOperand.Of(Vector256.Load(w[0] + k)), r1 = TOperand.Of(Vector256.Load(w[1] + k));
                    Vector256<float> r2 = TOperand.Of(Vector256.Load(w[2] + k)), r3 = TOperand.Of(Vector256.Load(w[3] + k));
                    Vector256<float> r4 = TOperand.Of(Vector256.Load(w[4] + k)), r5 = TOperand.Of(Vector256.Load(w[5] + k));
                    Vector256<float> r6 = TOperand.Of(Vector256.Load(w[6] + k)), r7 = TOperand.Of(Vector256.Load(w[7] + k));
                    Panels.Transpose(ref r0, ref r1, ref r2, ref r3, ref r4, ref r5, ref r6, ref r7);
                    s0 = Eight(s0, x0 + k, r0, r1, r2, r3, r4, r5, r6, r7);
                    if (TRows.Several)
                    {
                        s1 = Eight(s1, x1 + k, r0, r1, r2, r3, r4, r5, r6, r7);
                        s2 = Eight(s2, x2 + k, r0, r1, r2, r3, r4, r5, r6, r7);
                        s3 = Eight(s3, x3 + k, r0, r1, r2, r3, r4, r5, r6, r7);
                    }
                }

                for (; k < end; k++)
                {
                    Vector256<float> r =
                        TOperand.Of(Vector256.Create(w[0][k], w[1][k], w[2][k], w[3][k], w[4][k], w[5][k], w[6][k], w[7][k]));
                    s0 = Lanes.MultiplyAdd(Vector256.Create(x0[k]), r, s0);
                    if (TRows.Several)
                    {
                        s1 = Lanes.MultiplyAdd(Vector256.Create(x1[k]), r, s1);
                        s2 = Lanes.MultiplyAdd(Vector256.Create(x2[k]), r, s2);
                        s3 = Lanes.MultiplyAdd(Vector256.Create(x3[k]), r, s3);
                    }
                }

                Update(row, s0, column, beta, lanes);
                if (TRows.Several)
                {
                    Update(row + 1, s1, column, beta, lanes);
                    Update(row + 2, s2, column, beta, lanes);
                    Update(row + 3, s3, column, beta, lanes);
                }
            }
            while (k < product.K);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<float> Eight(
            Vector256<float> sum, float* x, Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3,
            Vector256<float> r4, Vector256<float> r5, Vector256<float> r6, Vector256<float> r7)
        {
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x), r0, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 1), r1, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 2), r2, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 3), r3, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 4), r4, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 5), r5, sum);
            sum = Lanes.MultiplyAdd(Lanes.Repeat(x + 6), r6, sum);
            return Lanes.MultiplyAdd(Lanes.Repeat(x + 7), r7, sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Update(int row, Vector256<float> sum, int column, float beta, int lanes)
        {
            if (row < product.M)
                PackedProduct.Update(sum, product.C + ((long)row * product.Ldc) + column, product.Alpha, beta, lanes);
        }
    }

    private interface IOperand
    {
        static abstract Vector256<float> Of(Vector256<float> value);
    }

    private readonly struct Exact : IOperand
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> value) => value;
    }

    private readonly struct Rounded : IOperand
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> value) => Lanes.RoundToBFloat16(value);
    }

    private interface IRows
    {
        static abstract bool Several { get; }
    }

    private readonly struct One : IRows
    {
        public static bool Several => false;
    }

    private readonly struct Four : IRows
    {
        public static bool Several => true;
    }
}
