using Forgetting.Tensors;

namespace Forgetting.Operations.Reference;

/// <summary>Quantisation block by block in plain double precision, by looking at all values of a map.</summary>
internal static class ReferenceQuantization
{
    /// <summary>scale · map[code] of every element.</summary>
    public static double[] Dequantize(double[] codes, double[] scales, double[] map, int block) =>
        [.. codes.Select((code, i) => scales[i / block] * map[(int)code])];

    /// <summary>
    /// The largest magnitude of each block, and of every element by it the code of the nearest value; the smaller of two.
    /// </summary>
    public static (double[] Codes, double[] Scales) Quantize(double[] values, double[] map, int block)
    {
        double[] scales = [.. values.Chunk(block).Select(chunk => chunk.Max(Math.Abs))];
        return ([.. values.Select((value, i) => Nearest(map, scales[i / block] > 0 ? value / scales[i / block] : 0))], scales);
    }

    /// <summary>The numbers of a <see cref="DType.NormalFloat4"/> tensor (arXiv 2305.14314), from its bytes.</summary>
    public static double[] NormalFloat4(byte[] tensor, int count)
    {
        var layout = new NormalFloat4Layout(count);
        double[] levels = Floats(NormalFloat4Layout.Levels, 16), map = Floats(NormalFloat4Layout.Map, 256);
        double[] groups = Floats(NormalFloat4Layout.Groups, (int)layout.GroupCount);
        double offset = Floats(NormalFloat4Layout.Offset, 1)[0];
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            int block = i / 64, pair = tensor[layout.Codes + (i / 2)];
            return levels[i % 2 == 0 ? pair / 16 : pair % 16] * ((map[tensor[layout.ScaleCodes + block]] * groups[block / 256]) + offset);
        })];

        double[] Floats(int at, int number) =>
            [.. Enumerable.Range(0, number).Select(i => (double)BitConverter.ToSingle(tensor, at + (i * sizeof(float))))];
    }

    private static double Nearest(double[] map, double value) =>
        Enumerable.Range(0, map.Length).MinBy(code => Math.Abs(value - map[code]));
}
