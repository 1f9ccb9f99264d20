using Forgetting.Backends.Cpu;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Products against a triple loop in double, over sizes around every boundary of the blocking.</summary>
public sealed unsafe class ManagedProductsTests
{
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
        foreach (bool wide in new[] { false, true })
        {
            using var products = new ManagedProducts(pool, wide);
            foreach ((bool ta, bool tb) in new[] { (false, false), (false, true), (true, false), (true, true) })
            {
                foreach ((float alpha, float beta) in new[] { (1f, 0f), (0.5f, 1f), (-2f, 0.25f) })
                {
                    Check(products, ta, tb, m, n, k, alpha, beta);
                }
            }
        }
    }

    [Fact]
    public void A_row_has_the_same_bits_in_every_batch_with_every_number_of_threads_and_both_kernels()
    {
        const int M = 150, N = 75, K = 700;
        float[] a = Values(M * K, 1), b = Values(N * K, 2);
        float[] expected = new float[M * N];
        using (var pool = new WorkerPool(1))
        using (var products = new ManagedProducts(pool, wide: false))
        {
            Run(products, a, b, expected, 0, M);
        }

        foreach (int threads in new[] { 1, 2, 3, 5 })
        {
            using var pool = new WorkerPool(threads);
            foreach (bool wide in new[] { false, true })
            {
                using var products = new ManagedProducts(pool, wide);
                foreach (int rows in new[] { 1, 2, 4, 5, 31, M })
                {
                    float[] c = new float[M * N];
                    for (int row = 0; row < M; row += rows)
                    {
                        Run(products, a, b, c, row, Math.Min(rows, M - row));
                    }

                    Assert.Equal(expected, c);
                }
            }
        }

        static void Run(ManagedProducts products, float[] a, float[] b, float[] c, int row, int rows)
        {
            fixed (float* pa = a, pb = b, pc = c)
            {
                products.Gemm(false, true, rows, N, K, 1, pa + (row * K), K, pb, K, 0, pc + (row * N), N);
            }
        }
    }

    private static void Check(ManagedProducts products, bool ta, bool tb, int m, int n, int k, float alpha, float beta)
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

        float[] result = [.. c];
        fixed (float* pa = a, pb = b, pc = result)
        {
            products.Gemm(ta, tb, m, n, k, alpha, pa, lda, pb, ldb, beta, pc, ldc);
        }

        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0, size = 0;
                for (int l = 0; l < k; l++)
                {
                    double term = (double)a[ta ? (l * lda) + i : (i * lda) + l] * b[tb ? (j * ldb) + l : (l * ldb) + j];
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

    private static float[] Values(int count, int seed)
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
