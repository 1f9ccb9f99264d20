using Forgetting.Backends;
using Forgetting.Operations;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Backends;

public sealed class NormalFloat4Tests
{
    // bitsandbytes' levels, and between which of them its kernel decides, as csrc/kernels.cu has both.
    private static readonly float[] s_levels =
    [
        -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
        -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
    ];

    private static readonly float[] s_thresholds =
    [
        -0.8480964004993439f, -0.6106329262256622f, -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
        -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f, 0.2035212516784668f,
        0.2920137718319893f, 0.3893125355243683f, 0.5016634166240692f, 0.6427869200706482f, 0.8614784181118011f,
    ];

    [Fact]
    public void Levels_are_the_published_ones_to_the_bit() => Assert.Equal(s_levels, NormalFloat4.Levels);

    // One block whose largest magnitude is 1: just below a threshold the smaller code, just above it the larger. On one of them
    // bitsandbytes' kernel and its plain version round a tie to different sides.
    [Fact]
    public void Codes_change_at_the_published_thresholds()
    {
        float[] values = [1, .. s_thresholds.SelectMany(x => new[] { MathF.BitDecrement(x), MathF.BitIncrement(MathF.BitIncrement(x)) })];
        byte[] tensor = NormalFloat4.Quantize(values);
        int[] expected = [15, .. Enumerable.Range(0, 15).SelectMany(code => new[] { code, code + 1 })];
        Assert.Equal(expected, Enumerable.Range(0, values.Length).Select(i => CodeOf(tensor, values.Length, i)));
    }

    // 64 elements a scale, 256 scales a group, the last of each cut short.
    [Theory]
    [InlineData(1)]
    [InlineData(65)]
    [InlineData(64 * 700 + 3)]
    public void A_tensor_is_what_the_rule_makes_of_it(int count)
    {
        float[] values = Array.ConvertAll(Operands.Draw(new Random(4), count, 0.02), x => (float)x);
        byte[] tensor = NormalFloat4.Quantize(values);
        var layout = new NormalFloat4Layout(count);
        Assert.Equal(layout.Bytes, tensor.Length);
        (double[] codes, double[] scales) =
            ReferenceQuantization.Quantize(Array.ConvertAll(values, x => (double)x), Array.ConvertAll(s_levels, x => (double)x), 64);
        double mean = scales.Average();
        (double[] scaleCodes, double[] groups) =
            ReferenceQuantization.Quantize(Array.ConvertAll(scales, x => x - mean), [.. DynamicMap.Signed], 256);
        Assert.Equal(mean, Float(NormalFloat4Layout.Offset), 1e-6 * mean);
        Assert.All(groups.Index(), group => Assert.Equal(group.Item, Float(NormalFloat4Layout.Groups + (4 * group.Index)), 1e-6 * mean));

        // Within rounding of a threshold either code is right.
        Assert.InRange(codes.Where((code, i) => code != CodeOf(tensor, count, i)).Count(), 0, count / 10000);
        Assert.InRange(scaleCodes.Where((code, i) => code != tensor[layout.ScaleCodes + i]).Count(), 0, scaleCodes.Length / 100);

        float Float(int at) => BitConverter.ToSingle(tensor, at);
    }

    private static int CodeOf(byte[] tensor, int count, int i)
    {
        int pair = tensor[new NormalFloat4Layout(count).Codes + (i / 2)];
        return i % 2 == 0 ? pair / 16 : pair % 16;
    }
}
