using Forgetting.Backends.Cpu;
using Forgetting.Operations;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

public sealed unsafe class LanesTests
{
    [Fact]
    public void Bfloat16_is_the_nearest_with_ties_to_even_at_every_place_of_a_row()
    {
        float[] values =
        [
            0, -0f, 1, 1 + (1 / 256f), 1 + (3 / 256f), 1 + (1 / 256f) + 1e-6f, -1 - (1 / 256f), 3.3e38f, 3.4e38f, -3.4e38f, 1e-40f,
            float.Epsilon, float.PositiveInfinity, float.NegativeInfinity, float.NaN, BitConverter.UInt32BitsToSingle(0x7F800001),
            BitConverter.UInt32BitsToSingle(0xFFFFFFFF), 0.1f, -123456.78f, 65280, 65408, 1e-3f, 2.5f,
        ];
        values = [.. values, .. values]; // longer than any vector
        float[] expected = [.. values.Select(v => (float)OperationRunner.Stored(v, DType.BFloat16))];
        for (int count = 1; count <= values.Length; count++)
        {
            float[] rounded = new float[count];
            ushort[] narrow = new ushort[count];
            fixed (float* source = values, target = rounded)
            fixed (ushort* half = narrow)
            {
                Lanes.RoundToBFloat16(source, target, count);
                Lanes.NarrowToBFloat16(source, half, count);
            }

            Assert.Equal(expected[..count], rounded);
            Assert.Equal(expected[..count], narrow.Select(bits => BitConverter.UInt32BitsToSingle((uint)bits << 16)));
        }
    }
}
