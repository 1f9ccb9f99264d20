namespace Forgetting.Reports;

/// <summary>Numbers over repeated runs.</summary>
public static class Statistics
{
    /// <summary>"mean ± standard deviation" (n − 1); the value alone where there is one.</summary>
    /// <param name="values">One value a run.</param>
    /// <param name="format">How a number is written.</param>
    public static string MeanAndDeviation(IReadOnlyList<double> values, Func<double, string> format)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(format);
        double mean = values.Average();
        if (values.Count == 1 || double.IsNaN(mean))
            return format(mean);

        return $"{format(mean)} ± {format(Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1)))}";
    }
}
