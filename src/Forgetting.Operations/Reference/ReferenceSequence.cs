namespace Forgetting.Operations.Reference;

/// <summary>Gathering, positions and pooling in plain double precision; methods return new arrays.</summary>
internal static class ReferenceSequence
{
    /// <summary>y[t] = table[rows[t]].</summary>
    public static double[] GatherRows(double[] table, int[] rows, int columns) =>
        [.. rows.SelectMany(row => table.Skip(row * columns).Take(columns))];

    /// <summary>y with y[rows[t]] = x[t].</summary>
    public static double[] ScatterRows(double[] x, int[] rows, double[] y)
    {
        int columns = x.Length / rows.Length;
        double[] result = [.. y];
        for (int t = 0; t < rows.Length; t++)
        {
            Array.Copy(x, t * columns, result, rows[t] * columns, columns);
        }

        return result;
    }

    /// <summary>The destination with <paramref name="count"/> columns of every row replaced.</summary>
    public static double[] CopyColumns(
        double[] source, int sourceColumns, int sourceColumn, double[] destination, int destinationColumns, int destinationColumn,
        int count)
    {
        double[] result = [.. destination];
        for (int t = 0; t < source.Length / sourceColumns; t++)
        {
            Array.Copy(source, (t * sourceColumns) + sourceColumn, result, (t * destinationColumns) + destinationColumn, count);
        }

        return result;
    }

    /// <summary>Every pair (x_i, x_{i+R/2}) of the first R columns of every head turned by its position's angle, or back.</summary>
    public static double[] Rope(double[] x, int[] positions, double[] cosine, double[] sine, int headSize, int turned, bool inverse)
    {
        int columns = x.Length / positions.Length, half = turned / 2;
        double[] y = [.. x];
        for (int t = 0; t < positions.Length; t++)
        {
            for (int c = 0; c < columns; c += headSize)
            {
                for (int i = 0; i < half; i++)
                {
                    int first = (t * columns) + c + i;
                    double cos = cosine[(positions[t] * half) + i];
                    double sin = sine[(positions[t] * half) + i] * (inverse ? -1 : 1);
                    y[first] = (x[first] * cos) - (x[first + half] * sin);
                    y[first + half] = (x[first] * sin) + (x[first + half] * cos);
                }
            }
        }

        return y;
    }

    /// <summary>Mean of the rows of each sequence.</summary>
    public static double[] SegmentMean(double[] x, int[] offsets, int columns)
    {
        double[] y = new double[(offsets.Length - 1) * columns];
        for (int s = 0; s + 1 < offsets.Length; s++)
        {
            for (int t = offsets[s]; t < offsets[s + 1]; t++)
            {
                for (int c = 0; c < columns; c++)
                {
                    y[(s * columns) + c] += x[(t * columns) + c] / (offsets[s + 1] - offsets[s]);
                }
            }
        }

        return y;
    }

    /// <summary>dX with dY[s] / length(s) added to every row of sequence s.</summary>
    public static double[] SegmentMeanBackward(double[] dY, int[] offsets, double[] dX)
    {
        int columns = dY.Length / (offsets.Length - 1);
        double[] result = [.. dX];
        for (int s = 0; s + 1 < offsets.Length; s++)
        {
            for (int t = offsets[s]; t < offsets[s + 1]; t++)
            {
                for (int c = 0; c < columns; c++)
                {
                    result[(t * columns) + c] += dY[(s * columns) + c] / (offsets[s + 1] - offsets[s]);
                }
            }
        }

        return result;
    }
}
