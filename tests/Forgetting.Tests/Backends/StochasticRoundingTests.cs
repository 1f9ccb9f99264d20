using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>Rounding to bfloat16 at random: what it gives on average, and what of weights in bfloat16 products read.</summary>
public sealed class StochasticRoundingTests : IDisposable
{
    private readonly CpuBackend _backend = new(2);
    private readonly List<DeviceBuffer> _buffers = [];

    public void Dispose()
    {
        _buffers.ForEach(buffer => buffer.Dispose());
        _backend.Dispose();
    }

    [Fact]
    public void What_is_rounded_is_right_on_average()
    {
        double[] values = [1.0000001, 1.003, -1.0077, 0.1, -3.3e-5, 123456.7, 1e-39, -2.9e38];
        const int Draws = 40_000;
        foreach (double value in values)
        {
            Tensor x = Take(DType.Float32, Draws), y = Take(DType.BFloat16, Draws);
            _backend.Fill(x, (float)value);
            _backend.StochasticRound(x, y, add: false, new Rounding(Key(1, 2), 3));
            double[] rounded = Numbers(y);

            // The two neighbours and no other; a mean of so many is off by no more than five of its standard deviations.
            uint cut = BitConverter.SingleToUInt32Bits((float)value) & 0xFFFF0000;
            double exact = (float)value, near = BitConverter.UInt32BitsToSingle(cut), far = BitConverter.UInt32BitsToSingle(cut + 0x10000);
            Assert.All(rounded, x => Assert.True(x == near || x == far));
            double deviation = Math.Sqrt((exact - near) * (far - exact) / Draws), most = (5 * deviation) + (1e-9 * Math.Abs(exact));
            Assert.InRange(rounded.Average(), exact - most, exact + most);
        }
    }

    [Fact]
    public void A_sum_of_what_is_small_beside_it_grows_as_it_should()
    {
        // To the nearest, 1 + 2⁻¹⁰ is 1 whatever the number of additions.
        const int Count = 4096, Additions = 512;
        Tensor x = Take(DType.Float32, Count), sum = Take(DType.BFloat16, Count);
        _backend.Fill(x, 1f / 1024);
        _backend.Fill(sum, 1);
        for (int i = 0; i < Additions; i++)
        {
            _backend.StochasticRound(x, sum, add: true, new Rounding(Key(7, i), i));
        }

        Assert.InRange(Numbers(sum).Average(), 1.5 - 0.01, 1.5 + 0.01);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Products_read_weights_in_bfloat16_as_the_numbers_that_they_are(bool transposeA, bool transposeB)
    {
        // More elements than are widened at a time.
        const int M = 5, N = 1100, K = 1030;
        Tensor a = Random(transposeA ? new Shape(K, M) : new Shape(M, K), 1), exact = Random(transposeB ? new(N, K) : new(K, N), 2);
        Tensor narrow = Take(DType.BFloat16, exact.Shape), wide = Take(DType.Float32, exact.Shape);
        _backend.Copy(exact, narrow);
        _backend.Copy(narrow, wide);
        Tensor expected = Random(new(M, N), 3), actual = Take(DType.Float32, new Shape(M, N));
        _backend.Copy(expected, actual);
        _backend.Gemm(a, transposeA, wide, transposeB, expected, 0.5f, 1);
        _backend.Gemm(a, transposeA, narrow, transposeB, actual, 0.5f, 1);
        Assert.All(Numbers(expected).Zip(Numbers(actual)), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
    }

    [Fact]
    public void Rows_of_a_table_in_bfloat16_are_the_numbers_that_they_are()
    {
        Tensor exact = Random(new(9, 37), 1), table = Take(DType.BFloat16, exact.Shape), y = Take(DType.Float32, new Shape(3, 37));
        _backend.Copy(exact, table);
        Tensor rows = Take(DType.Int32, 3);
        _backend.Upload<int>([8, 0, 8], rows);
        _backend.GatherRows(table, rows, y);
        double[] all = Numbers(table);
        Assert.Equal([.. all[^37..], .. all[..37], .. all[^37..]], Numbers(y));
    }

    private Tensor Key(int low, int high)
    {
        Tensor key = Take(DType.Int32, 2);
        _backend.Upload<int>([low, high], key);
        return key;
    }

    private Tensor Random(Shape shape, int seed)
    {
        var random = new Random(seed);
        Tensor tensor = Take(DType.Float32, shape);
        _backend.Upload<float>([.. Enumerable.Range(0, (int)shape.Count).Select(_ => (2 * random.NextSingle()) - 1)], tensor);
        return tensor;
    }

    private Tensor Take(DType type, int count) => Take(type, new Shape(count));

    private Tensor Take(DType type, Shape shape)
    {
        _buffers.Add(_backend.Allocate(type.Bytes(shape)));
        return _buffers[^1].AsTensor(shape, type);
    }

    private double[] Numbers(Tensor tensor)
    {
        Tensor wide = Take(DType.Float32, tensor.Shape);
        _backend.Copy(tensor, wide);
        var values = new float[tensor.Count];
        _backend.Download(wide, values.AsSpan());
        return Array.ConvertAll(values, value => (double)value);
    }
}
