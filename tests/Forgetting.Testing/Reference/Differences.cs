namespace Forgetting.Testing.Reference;

/// <summary>Central finite differences, fourth order, of a scalar function of arrays that it reads anew on every call.</summary>
internal static class Differences
{
    /// <summary>Derivative with respect to <paramref name="values"/>[<paramref name="index"/>]; the element is restored.</summary>
    public static double Derivative(Func<double> f, double[] values, int index, double step = 1e-3)
    {
        double value = values[index];
        double derivative = ((8 * (At(step) - At(-step))) - (At(2 * step) - At(-2 * step))) / (12 * step);
        values[index] = value;
        return derivative;

        double At(double change)
        {
            values[index] = value + change;
            return f();
        }
    }

    /// <summary>The whole gradient with respect to <paramref name="values"/>.</summary>
    public static double[] Gradient(Func<double> f, double[] values, double step = 1e-3) =>
        [.. Enumerable.Range(0, values.Length).Select(i => Derivative(f, values, i, step))];
}
