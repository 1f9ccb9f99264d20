
namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// The cut through a distribution that leaves the most variance between its two sides (N. Otsu, IEEE Transactions on Systems, Man, and
/// Cybernetics 9, 1979), over the values themselves instead of a histogram.
/// </summary>
/// <param name="Above">Number of values above the cut.</param>
/// <param name="Separation">Share of the variance that lies between the sides, in [0, 1].</param>
internal readonly record struct OtsuCut(int Above, double Separation)
{
    /// <summary>
    /// The cut through values in descending order. It lies between different values; where all are equal nothing lies below it.
    /// </summary>
    public static OtsuCut From(ReadOnlySpan<float> descending)
    {
        int count = descending.Length;
        double mean = 0;
        foreach (float value in descending)
        {
            mean += value;
        }

        mean /= Math.Max(count, 1);
        double variance = 0;
        foreach (float value in descending)
        {
            variance += (value - mean) * (value - mean);
        }

        // With S the sum of deviations above the cut, the variance between the sides is S²/k + S²/(n − k).
        double sum = 0, most = 0;
        int above = count;
        for (int k = 1; k < count; k++)
        {
            sum += descending[k - 1] - mean;
            double between = sum * sum * (1.0 / k + 1.0 / (count - k));
            if (descending[k] < descending[k - 1] && between > most)
                (most, above) = (between, k);
        }

        return new(above, variance > 0 ? most / variance : 0);
    }
}
