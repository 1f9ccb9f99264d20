namespace Forgetting.Evaluation;

/// <summary>The two-sample Kolmogorov–Smirnov test, two-sided and exact.</summary>
internal static class KolmogorovSmirnov
{
    /// <summary>
    /// Largest distance between the samples' distribution functions, and the probability of one as large if both
    /// samples come from one distribution.
    /// </summary>
    /// <param name="one">At least one number.</param>
    /// <param name="other">At least one number.</param>
    public static (double Distance, double PValue) Test(IReadOnlyList<double> one, IReadOnlyList<double> other)
    {
        double[] a = [.. one.Order()], b = [.. other.Order()];
        long largest = 0;
        for (int i = 0, j = 0; i < a.Length && j < b.Length;)
        {
            // Equal numbers of both samples are one step.
            double value = Math.Min(a[i], b[j]);
            for (; i < a.Length && a[i] == value; i++)
            {
            }

            for (; j < b.Length && b[j] == value; j++)
            {
            }

            largest = Math.Max(largest, Math.Abs(((long)i * b.Length) - ((long)j * a.Length)));
        }

        return ((double)largest / ((long)a.Length * b.Length), PValue(largest, a.Length, b.Length));
    }

    /// <summary>
    /// Probability that a distance is at least <paramref name="distance"/>/(n·m). All orders of n + m numbers are equally probable: paths
    /// from (0, 0) to (n, m), of which those count that somewhere leave the band |i·m − j·n| &lt; distance. A path to (i, j) came from (i
    /// − 1, j) with probability i/(i + j).
    /// </summary>
    public static double PValue(long distance, int n, int m)
    {
        // outside[j]: share of the paths to (i, j) that have left the band. Sums of positive numbers, so that small
        // values are as exact as large ones.
        var outside = new double[m + 1];
        for (int i = 0; i <= n; i++)
        {
            for (int j = 0; j <= m; j++)
            {
                double before = i + j == 0 ? 0 : (((j > 0 ? outside[j - 1] * j : 0) + (i > 0 ? outside[j] * i : 0)) / (i + j));
                outside[j] = Math.Abs(((long)i * m) - ((long)j * n)) >= distance ? 1 : before;
            }
        }

        return outside[m];
    }
}
