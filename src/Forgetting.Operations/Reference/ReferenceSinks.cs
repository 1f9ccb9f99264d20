
namespace Forgetting.Operations.Reference;

/// <summary>What weight gradients end in, in plain double precision: each sequence's gradient G_s is formed in full, then used.</summary>
internal static class ReferenceSinks
{
    /// <summary>G_s = dY_sᵀ·X_s of every sequence, [out, in] each.</summary>
    public static double[][] MatrixGradients(double[] x, double[] dY, int[] offsets) => PerSequence(offsets, s =>
    {
        int rows = offsets[^1], columns = x.Length / rows, outputs = dY.Length / rows;
        double[] g = new double[outputs * columns];
        for (int t = offsets[s]; t < offsets[s + 1]; t++)
        {
            for (int o = 0; o < outputs; o++)
            {
                for (int i = 0; i < columns; i++)
                {
                    g[(o * columns) + i] += dY[(t * outputs) + o] * x[(t * columns) + i];
                }
            }
        }

        return g;
    });

    /// <summary>G_s = Σ_t dY_t of every sequence.</summary>
    public static double[][] ColumnGradients(double[] dY, int[] offsets, int columns) =>
        RowGradients([.. new int[offsets[^1]]], dY, offsets, 1, columns);

    /// <summary>G_s[v] = Σ_{t: rows[t] = v} dY_t of every sequence, [V, C] each.</summary>
    public static double[][] RowGradients(int[] rows, double[] dY, int[] offsets, int vocabulary, int columns) => PerSequence(offsets, s =>
    {
        double[] g = new double[vocabulary * columns];
        for (int t = offsets[s]; t < offsets[s + 1]; t++)
        {
            for (int c = 0; c < columns; c++)
            {
                g[(rows[t] * columns) + c] += dY[(t * columns) + c];
            }
        }

        return g;
    });

    /// <summary>The head's part of G_s at the rows of the sequence's own tokens, spread to [V, C] each, from the packed [T, C].</summary>
    public static double[][] SpreadHead(double[] head, int[] rows, int[] offsets, int vocabulary, int columns) => PerSequence(offsets, s =>
    {
        double[] g = new double[vocabulary * columns];
        for (int t = offsets[s + 1] - 1; t >= offsets[s]; t--)
        {
            // Backwards, so that the first occurrence of a token wins.
            Array.Copy(head, t * columns, g, rows[t] * columns, columns);
        }

        return g;
    });

    /// <summary>sum + Σ_s (G_s² + 2·H_s∘G_s); without <paramref name="head"/>, H is 0.</summary>
    public static double[] SquareAccumulate(double[][] gradients, double[] sum, double[][]? head = null)
    {
        double[] result = [.. sum];
        for (int s = 0; s < gradients.Length; s++)
        {
            for (int i = 0; i < result.Length; i++)
            {
                double g = gradients[s][i];
                result[i] += (g * g) + (head == null ? 0 : 2 * head[s][i] * g);
            }
        }

        return result;
    }

    /// <summary>result with Σ A∘G_s added to [s, 0] and Σ B∘(G_s² + 2·H_s∘G_s) to [s, 1].</summary>
    public static double[] Project(double[][] gradients, double[] a, double[] b, double[] result, double[][]? head = null)
    {
        double[] sums = [.. result];
        for (int s = 0; s < gradients.Length; s++)
        {
            for (int i = 0; i < a.Length; i++)
            {
                double g = gradients[s][i];
                sums[2 * s] += a[i] * g;
                sums[(2 * s) + 1] += b[i] * ((g * g) + (head == null ? 0 : 2 * head[s][i] * g));
            }
        }

        return sums;
    }

    /// <summary>gradient + Σ_s G_s.</summary>
    public static double[] Accumulate(double[][] gradients, double[] gradient) =>
        [.. gradient.Select((value, i) => value + gradients.Sum(g => g[i]))];

    /// <summary>[T, C] as <see cref="Backends.ISinkOperations.HeadRows"/> defines it.</summary>
    public static double[] HeadRows(double[] dLogits, double[] x, int[] headOffsets, int[] rows, int[] offsets, int vocabulary, int columns)
    {
        double[] y = new double[rows.Length * columns];
        for (int s = 0; s + 1 < offsets.Length; s++)
        {
            for (int t = offsets[s]; t < offsets[s + 1]; t++)
            {
                if (Array.IndexOf(rows, rows[t], offsets[s]) != t)
                    continue;

                for (int r = headOffsets[s]; r < headOffsets[s + 1]; r++)
                {
                    for (int c = 0; c < columns; c++)
                    {
                        y[(t * columns) + c] += dLogits[(r * vocabulary) + rows[t]] * x[(r * columns) + c];
                    }
                }
            }
        }

        return y;
    }

    private static double[][] PerSequence(int[] offsets, Func<int, double[]> gradient) =>
        [.. Enumerable.Range(0, offsets.Length - 1).Select(gradient)];
}
