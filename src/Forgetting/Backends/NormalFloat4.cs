using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>
/// NF4 with double quantisation (QLoRA, arXiv 2305.14314, section 3): 16 levels that normal numbers reach equally often, scaled by the
/// largest magnitude of 64 elements; those magnitudes, less their mean, are in 8 bits by <see cref="DynamicMap.Signed"/>, 256 at a time.
/// Bits are those of bitsandbytes, but for the last ones of the mean, whose order of summation it leaves open.
/// </summary>
internal static class NormalFloat4
{
    // Blocks that one processor takes at a time: groups stay whole.
    private const int Part = 16 * NormalFloat4Layout.Group;

    /// <summary>The 16 levels, rising.</summary>
    public static IReadOnlyList<float> Levels { get; } =
    [
        -1, -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f, -0.091050036f, 0, 0.0795803f, 0.1609302f, 0.2461123f,
        0.33791524f, 0.44070983f, 0.562617f, 0.72295684f, 1,
    ];

    /// <summary>The bytes of a tensor, as <see cref="NormalFloat4Layout"/> says where they lie.</summary>
    public static byte[] Quantize(float[] values)
    {
        int count = values.Length;
        var layout = new NormalFloat4Layout(count);
        byte[] bytes = new byte[layout.Bytes];
        Floats(bytes, NormalFloat4Layout.Levels, [.. Levels]);
        Floats(bytes, NormalFloat4Layout.Map, [.. DynamicMap.Signed]);
        var scales = new float[layout.Scales];
        float[] midpoints = NearestCode.Midpoints(Levels);
        Parallel.For(0, (scales.Length + Part - 1) / Part, part =>
        {
            Span<byte> codes = bytes.AsSpan((int)layout.Codes);
            for (int block = part * Part; block < Math.Min(scales.Length, (part + 1) * Part); block++)
            {
                int start = block * NormalFloat4Layout.Block, end = Math.Min(count, start + NormalFloat4Layout.Block);
                float scale = 0;
                for (int i = start; i < end; i++)
                {
                    scale = Math.Max(scale, Math.Abs(values[i]));
                }

                scales[block] = scale;
                float factor = 1 / Math.Max(scale, 1e-38f);
                for (int i = start; i < end; i++)
                {
                    codes[i / 2] |= (byte)(NearestCode.Of(values[i] * factor, midpoints) << (i % 2 == 0 ? 4 : 0));
                }
            }
        });
        QuantizeScales(scales, layout, bytes);
        return bytes;
    }

    private static void QuantizeScales(float[] scales, NormalFloat4Layout layout, byte[] bytes)
    {
        float offset = (float)(scales.Sum(scale => (double)scale) / Math.Max(1, scales.Length));
        Floats(bytes, NormalFloat4Layout.Offset, [offset]);
        var groups = new float[layout.GroupCount];
        float[] midpoints = NearestCode.Midpoints(DynamicMap.Signed);
        Span<byte> codes = bytes.AsSpan((int)layout.ScaleCodes);
        for (int group = 0; group < groups.Length; group++)
        {
            int start = group * NormalFloat4Layout.Group, end = Math.Min(scales.Length, start + NormalFloat4Layout.Group);
            for (int i = start; i < end; i++)
            {
                groups[group] = Math.Max(groups[group], Math.Abs(scales[i] - offset));
            }

            float factor = 1 / Math.Max(groups[group], 1e-38f);
            for (int i = start; i < end; i++)
            {
                codes[i] = (byte)NearestCode.Of((scales[i] - offset) * factor, midpoints);
            }
        }

        Floats(bytes, NormalFloat4Layout.Groups, groups);
    }

    private static void Floats(byte[] bytes, int at, ReadOnlySpan<float> values) => MemoryMarshal.AsBytes(values).CopyTo(bytes.AsSpan(at));
}
