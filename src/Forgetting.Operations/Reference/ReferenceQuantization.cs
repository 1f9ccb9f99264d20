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

    private static double Nearest(double[] map, double value) =>
        Enumerable.Range(0, map.Length).MinBy(code => Math.Abs(value - map[code]));
}
