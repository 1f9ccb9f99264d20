using Forgetting.Backends.Cpu;
using Forgetting.Operations;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

/// <summary>
/// Every element of the packed matrices, at the place that the layout's definition gives it, and nothing beyond their end.
/// </summary>
public sealed unsafe class BFloat16PackingTests
{
    private const ushort Untouched = 0xBEEF;

    [Theory]
    [InlineData(1, 1, 16)]
    [InlineData(3, 70, 80)]
    [InlineData(16, 16, 64)]
    [InlineData(17, 33, 64)]
    [InlineData(64, 100, 128)]
    [InlineData(35, 64, 64)]
    public void Columns_lie_one_behind_the_other(int columns, int k, int filled)
    {
        int stride = columns + 3;
        float[] source = MatMulCheck.Values(stride * k, 7);
        ushort[] packed = Room(columns * filled);
        fixed (float* from = source)
        fixed (ushort* to = packed)
        {
            BFloat16Packing.Columns(from, stride, columns, k, filled, to);
        }

        for (int i = 0; i < columns; i++)
        {
            for (int j = 0; j < filled; j++)
            {
                AssertRounded(j >= k ? 0 : source[(j * stride) + i], packed[(i * filled) + j], $"column {i}, term {j}");
            }
        }

        AssertUntouched(packed, columns * filled);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(5, 70)]
    [InlineData(3, 128)]
    public void Rows_lie_one_behind_the_other(int rows, int k)
    {
        int stride = k + 3;
        float[] source = MatMulCheck.Values(stride * rows, 8);
        ushort[] packed = Room(rows * k);
        fixed (float* from = source)
        fixed (ushort* to = packed)
        {
            BFloat16Packing.Rows(from, stride, rows, k, to);
        }

        for (int place = 0; place < rows * k; place++)
        {
            AssertRounded(source[(place / k * stride) + (place % k)], packed[place], $"row {place / k}, term {place % k}");
        }

        AssertUntouched(packed, rows * k);
    }

    [Theory]
    [InlineData(1, 1, 1, 16)]
    [InlineData(64, 32, 32, 64)]
    [InlineData(100, 70, 70, 64)]
    [InlineData(47, 45, 128, 48)]
    [InlineData(320, 96, 96, 32)]
    [InlineData(13, 64, 64, 16)]
    public void Pairs_of_terms_lie_column_by_column(int n, int k, int filled, int width)
    {
        int terms = (filled + 31) / 32 * 32;
        int size = (n + width - 1) / width * width * terms;
        Assert.Equal(sizeof(ushort) * (long)size, BFloat16Packing.PairsBytes(n, filled, width));
        foreach (bool transposed in new[] { false, true })
        {
            int stride = (transposed ? k : n) + 5;
            float[] source = MatMulCheck.Values(stride * (transposed ? n : k), 9);
            ushort[] packed = Room(size);
            fixed (float* from = source)
            fixed (ushort* to = packed)
            {
                BFloat16Packing.Pairs(from, stride, transposed, n, k, filled, width, to, terms * width);
            }

            for (int place = 0; place < size; place++)
            {
                // [n / width][k / 32][k % 32 / 2][n % width][k % 2]
                int column = (place / (width * terms) * width) + (place / 2 % width);
                int term = (place % (width * terms) / (32 * width) * 32) + (place / (2 * width) % 16 * 2) + (place % 2);
                float expected = column >= n || term >= k ? 0 : source[transposed ? (column * stride) + term : (term * stride) + column];
                AssertRounded(expected, packed[place], $"column {column}, term {term}, transposed {transposed}");
            }

            AssertUntouched(packed, size);
        }
    }

    private static ushort[] Room(int size)
    {
        ushort[] packed = new ushort[size + 64];
        Array.Fill(packed, Untouched);
        return packed;
    }

    private static void AssertRounded(float expected, ushort found, string place) =>
        Assert.True(OperationRunner.Stored(expected, DType.BFloat16) == BitConverter.UInt32BitsToSingle((uint)found << 16), place);

    private static void AssertUntouched(ushort[] packed, int from) => Assert.All(packed[from..], value => Assert.Equal(Untouched, value));
}
