namespace Forgetting.Operations.Reference;

/// <summary>Dense products and optimiser arithmetic in plain double precision; methods return new arrays.</summary>
internal static class ReferenceDense
{
    /// <summary>α·op(A)·op(B) + β·C, [m, n], with k the shared dimension; β = 0 does not read C.</summary>
    public static double[] Gemm(
        double[] a, bool transposeA, double[] b, bool transposeB, double[] c, int m, int n, int k, double alpha, double beta)
    {
        double[] y = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int l = 0; l < k; l++)
                {
                    sum += (transposeA ? a[(l * m) + i] : a[(i * k) + l]) * (transposeB ? b[(j * k) + l] : b[(l * n) + j]);
                }

                y[(i * n) + j] = (alpha * sum) + (beta == 0 ? 0 : beta * c[(i * n) + j]);
            }
        }

        return y;
    }

    /// <summary>y with the bias added to every row.</summary>
    public static double[] AddBias(double[] y, double[] bias) => [.. y.Select((value, i) => value + bias[i % bias.Length])];

    /// <summary>1 / n and m / n of each output, n² being the sum of squares of its row of W + s·B·A; 0 where that is not above 0.</summary>
    public static double[] MagnitudeFactors(
        double[] squares, double[] magnitude, double[] b, double[] cross, double[] gram, double scale)
    {
        int outputs = squares.Length, rank = b.Length / outputs;
        double[] factors = new double[2 * outputs];
        for (int j = 0; j < outputs; j++)
        {
            double square = squares[j];
            for (int k = 0; k < rank; k++)
            {
                square += 2 * scale * b[(j * rank) + k] * cross[(k * outputs) + j];
                for (int l = 0; l < rank; l++)
                {
                    square += scale * scale * b[(j * rank) + k] * gram[(k * rank) + l] * b[(j * rank) + l];
                }
            }

            factors[j] = square > 0 ? 1 / Math.Sqrt(square) : 0;
            factors[outputs + j] = magnitude[j] * factors[j];
        }

        return factors;
    }

    /// <summary>x with each column multiplied by its factor.</summary>
    public static double[] ScaleColumns(double[] x, ReadOnlySpan<double> factors)
    {
        double[] y = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            y[i] = x[i] * factors[i % factors.Length];
        }

        return y;
    }

    /// <summary>Master, m and v after one step of AdamW (arXiv 1711.05101, algorithm 2).</summary>
    public static (double[] Master, double[] M, double[] V) AdamW(
        double[] master, double[] gradient, double[] m, double[] v, AdamWStep step)
    {
        double[] newMaster = new double[master.Length], newM = new double[master.Length], newV = new double[master.Length];
        for (int i = 0; i < master.Length; i++)
        {
            double g = (double)step.GradientScale * gradient[i];
            newM[i] = (step.Beta1 * m[i]) + ((1 - (double)step.Beta1) * g);
            newV[i] = (step.Beta2 * v[i]) + ((1 - (double)step.Beta2) * g * g);
            double mHat = newM[i] / (1 - Math.Pow(step.Beta1, step.Step));
            double vHat = newV[i] / (1 - Math.Pow(step.Beta2, step.Step));
            newMaster[i] = master[i] - (step.LearningRate * ((mHat / (Math.Sqrt(vHat) + step.Epsilon)) + (step.WeightDecay * master[i])));
        }

        return (newMaster, newM, newV);
    }
}
