namespace Forgetting.Backends;

/// <summary>
/// The numbers that 8-bit codes stand for under dynamic quantisation (arXiv 2110.02861, section 1.3): those of an exponent from 10⁻⁶ to 1
/// are the more, the larger it is, evenly between a tenth of it and itself. The values are bitsandbytes' to the bit.
/// </summary>
internal static class DynamicMap
{
    /// <summary>Codes.</summary>
    public const int Count = 256;

    private const int Exponents = 7;

    /// <summary>From −0.993 to 1, rising.</summary>
    public static IReadOnlyList<float> Signed { get; } = Create(signed: true);

    /// <summary>From 0 to 1, rising.</summary>
    public static IReadOnlyList<float> Unsigned { get; } = Create(signed: false);

    private static float[] Create(bool signed)
    {
        List<float> values = [0, 1];
        for (int exponent = 0; exponent < Exponents; exponent++)
        {
            int count = 1 << (signed ? exponent : exponent + 1);
            var scale = (float)Math.Pow(10, exponent - Exponents + 1);
            for (int i = 0; i < count; i++)
            {
                float value = scale * ((Boundary(i, count) + Boundary(i + 1, count)) / 2);
                values.Add(value);
                if (signed)
                    values.Add(-value);
            }
        }

        values.Sort();
        return [.. values];
    }

    // i of count steps from 0.1 to 1, counted from the nearer end and rounded once: what PyTorch's linspace gives.
    private static float Boundary(int i, int count)
    {
        float step = (1 - 0.1f) / count;
        return i < (count + 1) / 2 ? MathF.FusedMultiplyAdd(step, i, 0.1f) : MathF.FusedMultiplyAdd(-step, count - i, 1);
    }
}
