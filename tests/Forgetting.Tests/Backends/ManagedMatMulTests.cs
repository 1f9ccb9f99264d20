using Forgetting.Backends.Cpu;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Products against a triple loop in double, over sizes around every boundary of the blocking.</summary>
public sealed unsafe class ManagedMatMulTests
{
    private static readonly int[] s_widths = [128, 256, 512];

    public static TheoryData<int, int, int> Sizes()
    {
        var sizes = new TheoryData<int, int, int>();
        foreach (int m in new[] { 1, 3, 4, 5, 6, 7, 16, 17 })
        {
            foreach (int n in new[] { 1, 7, 8, 15, 16, 17, 33 })
            {
                foreach (int k in new[] { 1, 7, 8, 9, 31 })
                {
                    sizes.Add(m, n, k);
                }
            }
        }

        sizes.Add(145, 130, 257);
        sizes.Add(289, 31, 513);
        sizes.Add(2, 40, 600);
        sizes.Add(5, 4099, 11);
        sizes.Add(3, 5, 0);
        return sizes;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Agrees_with_a_triple_loop(int m, int n, int k)
    {
        using var pool = new WorkerPool(2);
        foreach ((int bits, DType type) in from bits in s_widths from type in new[] { DType.Float32, DType.BFloat16 } select (bits, type))
        {
            using var products = new ManagedMatMul(pool, type, bits);
            foreach ((bool ta, bool tb) in new[] { (false, false), (false, true), (true, false), (true, true) })
            {
                foreach ((float alpha, float beta) in new[] { (1f, 0f), (0.5f, 1f), (-2f, 0.25f) })
                {
                    MatMulCheck.Against(products, ta, tb, m, n, k, alpha, beta);
                }
            }
        }
    }

    [Theory]
    [InlineData(128)]
    [InlineData(256)]
    [InlineData(512)]
    public void A_result_larger_than_caches_has_the_same_bits(int bits)
    {
        using var pool = new WorkerPool(2);
        using var products = new ManagedMatMul(pool, DType.Float32, bits);
        MatMulCheck.LargerThanCaches(products);
    }

    [Theory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    public void A_row_has_the_same_bits_in_every_batch_with_every_number_of_threads_every_kernel_and_packed_or_not(DType type)
    {
        const int M = 150, N = 75, K = 700;
        float[] a = MatMulCheck.Values(M * K, 1), b = MatMulCheck.Values(N * K, 2);
        float[] expected = new float[M * N];
        using (var pool = new WorkerPool(1))
        using (var products = new ManagedMatMul(pool, type, bits: 256))
        {
            Run(products, a, b, expected, 0, M, packed: false);
        }

        foreach (int threads in new[] { 1, 2, 3, 5 })
        {
            using var pool = new WorkerPool(threads);
            foreach (int bits in s_widths)
            {
                using var products = new ManagedMatMul(pool, type, bits);
                foreach ((int rows, bool packed) in new[] { (1, false), (1, true), (2, false), (4, false), (4, true), (5, true),
                    (31, false), (31, true), (M, false), (M, true) })
                {
                    float[] c = new float[M * N];
                    for (int row = 0; row < M; row += rows)
                    {
                        Run(products, a, b, c, row, Math.Min(rows, M - row), packed);
                    }

                    Assert.Equal(expected, c);
                }
            }
        }

        static void Run(ManagedMatMul products, float[] a, float[] b, float[] c, int row, int rows, bool packed)
        {
            fixed (float* pa = a, pb = b, pc = c)
            {
                MatMulCheck.Run(
                    products, new Product(false, true, rows, N, K, 1, pa + (row * K), K, pb, K, 0, pc + (row * N), N), packed);
            }
        }
    }
}
