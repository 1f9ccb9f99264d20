using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Forgetting.Backends.Cpu;
using Forgetting.Operations;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Products of any provider against a triple loop in double, over its operands as it rounds them.</summary>
internal static unsafe class MatMulCheck
{
    /// <summary>One product with B as it is and once more with B packed: both must be right, and the same.</summary>
    public static void Against(IMatMul products, bool ta, bool tb, int m, int n, int k, float alpha, float beta)
    {
        // Rows further apart than they are long, and a guard element behind each row of C.
        int lda = (ta ? m : k) + 2, ldb = (tb ? k : n) + 3, ldc = n + 1;
        float[] a = Values((ta ? k : m) * lda, 3), b = Values((tb ? n : k) * ldb, 4), c = Values(m * ldc, 5);
        float[] before = [.. c];
        if (beta == 0)
        {
            // β = 0 must not read C.
            Array.Fill(c, float.NaN);
        }

        float[] result = [.. c], repeated = [.. c];
        fixed (float* pa = a, pb = b, pc = result, pr = repeated)
        {
            Run(products, new Product(ta, tb, m, n, k, alpha, pa, lda, pb, ldb, beta, pc, ldc), packed: false);
            Run(products, new Product(ta, tb, m, n, k, alpha, pa, lda, pb, ldb, beta, pr, ldc), packed: !ta);
        }

        Assert.Equal(result, repeated);
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0, size = 0;
                for (int l = 0; l < k; l++)
                {
                    double term = OperationRunner.Stored(a[ta ? (l * lda) + i : (i * lda) + l], products.OperandType)
                        * OperationRunner.Stored(b[tb ? (j * ldb) + l : (l * ldb) + j], products.OperandType);
                    sum += term;
                    size += Math.Abs(term);
                }

                double expected = (alpha * sum) + (beta == 0 ? 0 : beta * before[(i * ldc) + j]);
                double tolerance = 1e-6 * ((Math.Abs(alpha) * size) + Math.Abs(expected) + 1e-3);
                Assert.InRange(result[(i * ldc) + j], expected - tolerance, expected + tolerance);
            }

            Assert.Equal(c[(i * ldc) + n], result[(i * ldc) + n]);
        }
    }

    /// <summary>
    /// A result larger than caches, in memory where it is stored past them and where it cannot be: both must have the
    /// same bits, some of which are checked.
    /// </summary>
    public static void LargerThanCaches(IMatMul products)
    {
        const int M = 97, N = 180_032, K = 3; // whole tiles and parts of some
        const int Lines = 16; // floats
        float[] a = Values(M * K, 6), b = Values(K * N, 7);
        float* memory = (float*)NativeMemory.AlignedAlloc(sizeof(float) * (((nuint)M * N) + Lines), 64);
        try
        {
            fixed (float* pa = a, pb = b)
            {
                var product = new Product(false, false, M, N, K, 1, pa, K, pb, N, 0, memory, N);
                Assert.Equal(Sse.IsSupported, product.Streams);
                products.Gemm(product);
                float[] streamed = new ReadOnlySpan<float>(memory, M * N).ToArray();
                for (int place = 0; place < M * N; place += 100_003)
                {
                    double sum = 0;
                    for (int l = 0; l < K; l++)
                    {
                        sum += OperationRunner.Stored(a[(place / N * K) + l], products.OperandType) * OperationRunner.Stored(
                            b[(l * N) + (place % N)], products.OperandType);
                    }

                    Assert.Equal(sum, streamed[place], 1e-5);
                }

                var unaligned = new Product(false, false, M, N, K, 1, pa, K, pb, N, 0, memory + 1, N);
                Assert.False(unaligned.Streams);
                products.Gemm(unaligned);
                Assert.True(new ReadOnlySpan<float>(memory + 1, M * N).SequenceEqual(streamed));
            }
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    /// <summary>Computes a product, with B packed before if <paramref name="packed"/> and the product would use that.</summary>
    public static void Run(IMatMul products, in Product product, bool packed)
    {
        long bytes = packed ? products.PackedBytes(product) : 0;
        if (bytes == 0)
        {
            products.Gemm(product);
            return;
        }

        byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)bytes + 64, 64);
        new Span<byte>(memory, (int)bytes + 64).Fill(0xA7);
        products.Pack(product, memory);
        Assert.True(new Span<byte>(memory + bytes, 64).IndexOfAnyExcept((byte)0xA7) < 0, "memory behind the packed matrix was written");
        products.Gemm(product, memory);
        NativeMemory.AlignedFree(memory);
    }

    /// <summary>Uniform in ±1.</summary>
    public static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return values;
    }
}
