using System.Globalization;

namespace Forgetting.Reports;

/// <summary>Numbers over repeated runs.</summary>
internal static class Statistics
{
    /// <summary>"mean ± standard deviation" (n − 1); the value alone where there is one.</summary>
    /// <param name="values">One value a run.</param>
    /// <param name="format">How a number is written.</param>
    /// <param name="deviationFormat">How the deviation is written; null: as the mean.</param>
    public static string MeanAndDeviation(
        IReadOnlyList<double> values, Func<double, string> format, Func<double, string>? deviationFormat = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(format);
        double mean = values.Average();
        if (values.Count == 1 || double.IsNaN(mean))
            return format(mean);

        return $"{format(mean)} ± {(deviationFormat ?? format)(Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1)))}";
    }

    /// <summary>Paired differences over the same seeds or items.</summary>
    /// <param name="differences">At least one.</param>
    public static PairedDifference Paired(IReadOnlyList<double> differences)
    {
        ArgumentNullException.ThrowIfNull(differences);
        double mean = differences.Average();
        int better = differences.Count(d => d > 0), worse = differences.Count(d => d < 0);
        double error = differences.Count < 2
            ? double.NaN
            : Math.Sqrt(differences.Sum(d => (d - mean) * (d - mean)) / (differences.Count - 1) / differences.Count);
        return new(mean, error, better, worse, SignTest(better, worse));
    }

    // Two-sided: twice the binomial tail at one half, at most 1.
    private static double SignTest(int better, int worse)
    {
        int n = better + worse;
        double term = Math.Pow(0.5, n), tail = 0;
        for (int k = 0; k <= Math.Min(better, worse); k++)
        {
            tail += term;
            term *= (n - k) / (k + 1.0);
        }

        return Math.Min(1, 2 * tail);
    }
}

/// <summary>What paired differences come to.</summary>
/// <param name="Mean">Their mean.</param>
/// <param name="StandardError">Standard error of the mean; NaN for a single difference.</param>
/// <param name="Better">How many are above 0.</param>
/// <param name="Worse">How many are below 0.</param>
/// <param name="P">Two-sided p of the sign test, ties left out.</param>
internal readonly record struct PairedDifference(double Mean, double StandardError, int Better, int Worse, double P)
{
    /// <summary>Whether the mean is more than twice its standard error away from 0.</summary>
    public bool IsClear => Math.Abs(Mean) > 2 * StandardError;

    /// <summary>"+1.2 ± 0.3 (5/0)": mean, standard error, and how many are better and worse.</summary>
    /// <param name="format">How a number without a sign is written, such as 0.0.</param>
    public string ToText(string format)
    {
        string mean = Mean.ToString($"+{format};−{format};{format}", CultureInfo.InvariantCulture);
        return double.IsNaN(StandardError) ? mean : string.Create(
            CultureInfo.InvariantCulture, $"{mean} ± {StandardError.ToString(format, CultureInfo.InvariantCulture)} ({Better}/{Worse})");
    }
}
