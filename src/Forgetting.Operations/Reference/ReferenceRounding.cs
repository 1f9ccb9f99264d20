namespace Forgetting.Operations.Reference;

/// <summary>Stochastic rounding to bfloat16 as <see cref="Backends.Rounding"/> says, from the two neighbours of a number.</summary>
internal static class ReferenceRounding
{
    /// <summary>What element <paramref name="i"/> becomes.</summary>
    /// <param name="value">A number of Float32.</param>
    public static double Round(double value, long i, uint key0, uint key1, uint stream)
    {
        if (!double.IsFinite(value) || value == 0)
            return value;

        // Neighbours in bfloat16 have 8 bits; below the smallest normal number they lie evenly.
        double magnitude = Math.Abs(value), spacing = Math.ScaleB(1, Math.Max(Math.ILogB(magnitude), -126) - 7);
        double low = Math.Floor(magnitude / spacing) * spacing;
        int share = (int)((magnitude - low) / spacing * 65536);
        uint word = ReferencePhilox.Draw([stream, (uint)(i / 8), (uint)(i / 8 >> 32), 0], key0, key1)[i % 8 / 2];
        int random = (int)(i % 2 == 0 ? word % 65536 : word / 65536);
        double rounded = share + random >= 65536 ? low + spacing : low;
        return Math.CopySign(rounded > 3.3895313892515355e38 ? double.PositiveInfinity : rounded, value);
    }
}
