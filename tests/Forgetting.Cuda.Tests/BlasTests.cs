using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>cuBLAS products of the emulation against sums in double precision.</summary>
[Collection("emulation")]
public sealed class BlasTests(EmulationFixture emulation)
{
    private readonly EmulationFixture _emulation = emulation;

    public static TheoryData<int, int, int, bool, bool, bool> Cases
    {
        get
        {
            var cases = new TheoryData<int, int, int, bool, bool, bool>();
            foreach ((int m, int n, int k) in ((int, int, int)[])[(1, 1, 1), (17, 7, 5), (33, 200, 64), (16, 6, 129)])
            {
                for (int bits = 0; bits < 8; bits++)
                {
                    cases.Add(m, n, k, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0);
                }
            }

            return cases;
        }
    }

    [EmulationTheory]
    [MemberData(nameof(Cases))]
    public void Product(int m, int n, int k, bool transposeA, bool transposeB, bool bfloat16)
    {
        _emulation.Begin();
        var random = new Random(m * n * k);
        float[] a = Values(random, m * k, bfloat16), b = Values(random, k * n, bfloat16), c = Values(random, m * n, bfloat16);
        using CudaDeviceVariable<byte> x = Upload(a, bfloat16), y = Upload(b, bfloat16), z = Upload(c, bfloat16);
        using var blas = new Products();
        int lda = transposeA ? k : m, ldb = transposeB ? n : k;
        blas.Multiply(
            transposeA, transposeB, m, n, k, 0.5f, x.DevicePointer, lda, y.DevicePointer, ldb, 2f, z.DevicePointer, m, bfloat16);
        float[] result = Download(z, bfloat16);
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int p = 0; p < k; p++)
                {
                    sum += (double)a[transposeA ? p + i * lda : i + p * lda] * b[transposeB ? j + p * ldb : p + j * ldb];
                }

                double expected = 0.5 * sum + 2.0 * c[i + j * m];
                Assert.Equal(expected, result[i + j * m], bfloat16 ? 4e-3 * (1 + Math.Abs(expected)) : 1e-5 * (1 + Math.Abs(expected)));
            }
        }
    }

    [EmulationFact]
    public void A_product_is_recorded_in_its_stream()
    {
        _emulation.Begin();
        using var stream = new CudaStream();
        using var blas = new Products { Library = { Stream = stream.Stream } };
        using CudaDeviceVariable<float> a = EmulationFixture.Upload(1f, 2f, 3f, 4f), b = EmulationFixture.Upload(5f, 6f), c = new(2);
        Recording.Begin(stream, CUstreamCaptureMode.Global);
        blas.Multiply(false, false, 2, 1, 2, 1f, a.DevicePointer, 2, b.DevicePointer, 2, 0f, c.DevicePointer, 2);
        using var graph = Recording.End(stream);
        graph.Launch(stream);
        Assert.Equal([23f, 34f], EmulationFixture.Download(c));
    }

    [EmulationFact]
    public void AMatrixThatReachesBeyondItsMemoryIsReported()
    {
        _emulation.Begin();
        using CudaDeviceVariable<float> a = EmulationFixture.Upload(new float[6]), c = new(9);
        using var blas = new Products();
        CudaBlasException error = Assert.Throws<CudaBlasException>(() => blas.Multiply(
            false, true, 3, 3, 3, 1f, a.DevicePointer, 3, a.DevicePointer, 3, 0f, c.DevicePointer, 3));
        Assert.Equal(CublasStatus.ExecutionFailed, error.CudaBlasError);
        Assert.Contains("cublasGemmEx: matrix A", error.Message, StringComparison.Ordinal);
        Assert.Contains("beyond its end", error.Message, StringComparison.Ordinal);
    }

    private static float[] Values(Random random, int count, bool bfloat16) =>
        [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1).Select(x => bfloat16 ? Widen(Bits(x)) : x)];

    private static ushort Bits(float x) => (ushort)(BitConverter.SingleToUInt32Bits(x) >> 16);

    private static float Widen(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static CudaDeviceVariable<byte> Upload(float[] values, bool bfloat16) =>
        EmulationFixture.Upload(
            bfloat16 ? [.. values.SelectMany(x => BitConverter.GetBytes(Bits(x)))] : values.SelectMany(BitConverter.GetBytes).ToArray());

    private static float[] Download(CudaDeviceVariable<byte> variable, bool bfloat16)
    {
        byte[] bytes = EmulationFixture.Download(variable);
        return bfloat16
            ? [.. bytes.Chunk(2).Select(pair => Widen(BitConverter.ToUInt16(pair)))]
            : [.. bytes.Chunk(4).Select(word => BitConverter.ToSingle(word))];
    }
}
