
namespace Forgetting.Operations.Reference;

/// <summary>
/// Norms, activations, sums and dropout in plain double precision. Nothing is changed in place: every method returns new arrays.
/// </summary>
internal static class ReferenceElementwise
{
    /// <summary>y and rstd of <see cref="Backends.IElementwiseOperations.RmsNorm"/>.</summary>
    public static (double[] Y, double[] Rstd) RmsNorm(double[] x, double[] gain, double epsilon)
    {
        int columns = gain.Length, rows = x.Length / columns;
        double[] y = new double[x.Length], rstd = new double[rows];
        for (int t = 0; t < rows; t++)
        {
            double squares = 0;
            for (int c = 0; c < columns; c++)
            {
                squares += x[(t * columns) + c] * x[(t * columns) + c];
            }

            rstd[t] = 1 / Math.Sqrt((squares / columns) + epsilon);
            for (int c = 0; c < columns; c++)
            {
                y[(t * columns) + c] = gain[c] * x[(t * columns) + c] * rstd[t];
            }
        }

        return (y, rstd);
    }

    /// <summary>The input gradient of RMSNorm and dY ∘ x̂.</summary>
    public static (double[] DX, double[] GainProduct) RmsNormBackward(double[] dY, double[] x, double[] gain, double[] rstd) =>
        NormBackward(dY, x, gain, t => (0, rstd[t]), centred: false);

    /// <summary>y and statistics (mean, rstd by rows) of <see cref="Backends.IElementwiseOperations.LayerNorm"/>.</summary>
    public static (double[] Y, double[] Statistics) LayerNorm(double[] x, double[] gain, double[] bias, double epsilon)
    {
        int columns = gain.Length, rows = x.Length / columns;
        double[] y = new double[x.Length], statistics = new double[2 * rows];
        for (int t = 0; t < rows; t++)
        {
            double mean = 0, variance = 0;
            for (int c = 0; c < columns; c++)
            {
                mean += x[(t * columns) + c] / columns;
            }

            for (int c = 0; c < columns; c++)
            {
                variance += (x[(t * columns) + c] - mean) * (x[(t * columns) + c] - mean) / columns;
            }

            double rstd = 1 / Math.Sqrt(variance + epsilon);
            (statistics[2 * t], statistics[(2 * t) + 1]) = (mean, rstd);
            for (int c = 0; c < columns; c++)
            {
                y[(t * columns) + c] = (gain[c] * (x[(t * columns) + c] - mean) * rstd) + bias[c];
            }
        }

        return (y, statistics);
    }

    /// <summary>The input gradient of LayerNorm and dY ∘ x̂.</summary>
    public static (double[] DX, double[] GainProduct) LayerNormBackward(double[] dY, double[] x, double[] gain, double[] statistics) =>
        NormBackward(dY, x, gain, t => (statistics[2 * t], statistics[(2 * t) + 1]), centred: true);

    /// <summary>silu(gate) ∘ up.</summary>
    public static double[] SwiGlu(double[] gate, double[] up) => [.. gate.Zip(up, (g, u) => g * Sigmoid(g) * u)];

    /// <summary>gelu(gate) ∘ up by the tanh approximation.</summary>
    public static double[] GeGlu(double[] gate, double[] up) => [.. gate.Zip(up, (g, u) => Gelu(g, tanh: true) * u)];

    /// <summary>Gradients of <see cref="GeGlu"/>.</summary>
    public static (double[] DGate, double[] DUp) GeGluBackward(double[] gate, double[] up, double[] dY) => (
        [.. gate.Select((g, i) => dY[i] * up[i] * GeluDerivative(g, tanh: true))], [.. gate.Select((g, i) => dY[i] * Gelu(g, tanh: true))]);

    /// <summary>cap·tanh(x / cap).</summary>
    public static double SoftCap(double x, double cap) => cap * Math.Tanh(x / cap);

    /// <summary>Derivative of <see cref="SoftCap"/>.</summary>
    public static double SoftCapDerivative(double x, double cap) => 1 / Math.Pow(Math.Cosh(x / cap), 2);

    /// <summary>Gradients of <see cref="SwiGlu"/>.</summary>
    public static (double[] DGate, double[] DUp) SwiGluBackward(double[] gate, double[] up, double[] dY)
    {
        double[] dGate = new double[gate.Length], dUp = new double[gate.Length];
        for (int i = 0; i < gate.Length; i++)
        {
            double sigmoid = Sigmoid(gate[i]);
            dGate[i] = dY[i] * up[i] * sigmoid * (1 + (gate[i] * (1 - sigmoid)));
            dUp[i] = dY[i] * gate[i] * sigmoid;
        }

        return (dGate, dUp);
    }

    /// <summary>x·Φ(x), or its tanh approximation.</summary>
    public static double Gelu(double x, bool tanh) => tanh
        ? 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))))
        : 0.5 * x * (1 + Erf(x / Math.Sqrt(2)));

    /// <summary>Derivative of <see cref="Gelu"/>.</summary>
    public static double GeluDerivative(double x, bool tanh)
    {
        if (!tanh)
            return (0.5 * (1 + Erf(x / Math.Sqrt(2)))) + (x * Math.Exp(-0.5 * x * x) / Math.Sqrt(2 * Math.PI));

        double root = Math.Sqrt(2 / Math.PI);
        double t = Math.Tanh(root * (x + (0.044715 * x * x * x)));
        return (0.5 * (1 + t)) + (0.5 * x * (1 - (t * t)) * root * (1 + (3 * 0.044715 * x * x)));
    }

    /// <summary>Inverted dropout with the mask that <see cref="Backends.DropoutMask"/> defines.</summary>
    public static double[] Dropout(double[] x, int[] rowKeys, ulong seed, Backends.DropoutMask mask)
    {
        int columns = rowKeys.Length == 0 ? 0 : x.Length / rowKeys.Length;
        double[] y = new double[x.Length];
        for (int t = 0; t < rowKeys.Length; t++)
        {
            for (int c = 0; c < columns; c++)
            {
                uint[] bits = ReferencePhilox.Draw(
                    [(uint)rowKeys[t], (uint)(c / 4), (uint)mask.Stream, 0], (uint)seed, (uint)(seed >> 32));
                bool kept = bits[c % 4] / 4294967296.0 >= mask.Rate;
                y[(t * columns) + c] = kept ? x[(t * columns) + c] / (1 - (double)mask.Rate) : 0;
            }
        }

        return y;
    }

    /// <summary>Error function by the series erf x = 2/√π·e^(−x²)·Σ 2ⁿx²ⁿ⁺¹/(2n + 1)!!, whose terms all have one sign.</summary>
    public static double Erf(double x)
    {
        if (Math.Abs(x) > 6)
            return Math.Sign(x);

        double term = x, sum = x;
        for (int n = 1; Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
        {
            term *= 2 * x * x / ((2 * n) + 1);
            sum += term;
        }

        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
    }

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    // With u = gain ∘ dY: dx = rstd·(u − mean(u) − x̂·mean(u ∘ x̂)), the first mean only where x̂ is centred.
    private static (double[] DX, double[] GainProduct) NormBackward(
        double[] dY, double[] x, double[] gain, Func<int, (double Mean, double Rstd)> statistics, bool centred)
    {
        int columns = gain.Length, rows = x.Length / columns;
        double[] dX = new double[x.Length], product = new double[x.Length];
        for (int t = 0; t < rows; t++)
        {
            (double mean, double rstd) = statistics(t);
            double meanU = 0, meanUX = 0;
            for (int c = 0; c < columns; c++)
            {
                int i = (t * columns) + c;
                double normalized = (x[i] - mean) * rstd;
                product[i] = dY[i] * normalized;
                meanU += centred ? gain[c] * dY[i] / columns : 0;
                meanUX += gain[c] * dY[i] * normalized / columns;
            }

            for (int c = 0; c < columns; c++)
            {
                int i = (t * columns) + c;
                dX[i] = rstd * ((gain[c] * dY[i]) - meanU - ((x[i] - mean) * rstd * meanUX));
            }
        }

        return (dX, product);
    }
}
