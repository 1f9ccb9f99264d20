using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Weights that are a direction and a magnitude of each output.</summary>
internal static class MagnitudeCases
{
    public static IEnumerable<OperationCase> All()
    {
        foreach ((int outputs, int rank) in new[] { (1, 1), (5, 3), (64, 8), (257, 16), (40, 64) })
        {
            yield return new("MagnitudeFactors", $"{outputs} rank {rank}")
            {
                Operands =
                [
                    Input32("squares", 1, outputs, (random, _) => Squares(random, outputs, rank)), Input32("magnitude", 1, outputs),
                    Input("b", outputs, rank), Input32("cross", rank, outputs), Input32("gram", rank, rank),
                    Output32("factors", 2, outputs),
                ],
                Run = (b, t) => b.MagnitudeFactors(t[0], t[1], t[2], t[3], t[4], -0.5f, t[5]),
                Expect = v => v[5] = ReferenceDense.MagnitudeFactors(v[0], v[1], v[2], v[3], v[4], -0.5),
            };
        }

        foreach ((int rows, int columns) in new[] { (1, 1), (3, 7), (5, 64), (2, 1031), (33, 288), (0, 8) })
        {
            foreach (OperationCase each in Cases(rows, columns))
            {
                yield return each with { Shift = columns % 2 };
            }
        }

        foreach (OperationCase each in Columns())
        {
            yield return each;
        }
    }

    // What a row of W + s·B·A may have; the last has none, as a row of zeros.
    private static double[] Squares(Random random, int outputs, int rank) =>
        [.. Enumerable.Range(0, outputs).Select(i => i == outputs - 1 && i > 0 ? -1e6 : (rank * (rank + 10)) + random.NextDouble())];

    private static IEnumerable<OperationCase> Cases(int rows, int columns)
    {
        yield return new("Magnitude", $"{rows}x{columns}")
        {
            Operands = [Updated("y", rows, columns), Input32("factors", 2, columns), Output("unit", rows, columns)],
            Run = (b, t) => b.Magnitude(t[0], t[1], t[2]),
            Expect = v => (v[0], v[2]) =
                (ReferenceDense.ScaleColumns(v[0], v[1].AsSpan(columns)), ReferenceDense.ScaleColumns(v[0], v[1].AsSpan(0, columns))),
        };
        yield return new("Magnitude", $"{rows}x{columns} alone")
        {
            Operands = [Updated("y", rows, columns), Input32("factors", 2, columns)],
            Run = (b, t) => b.Magnitude(t[0], t[1], default),
            Expect = v => v[0] = ReferenceDense.ScaleColumns(v[0], v[1].AsSpan(columns)),
        };
        yield return new("MagnitudeBackward", $"{rows}x{columns}")
        {
            Operands =
                [Input("dY", rows, columns), Input32("factors", 2, columns), Updated("unit", rows, columns), Output("dV", rows, columns)],
            Run = (b, t) => b.MagnitudeBackward(t[0], t[1], t[2], t[3]),
            Expect = v => (v[2], v[3]) = (Product(v[0], v[2]), ReferenceDense.ScaleColumns(v[0], v[1].AsSpan(columns))),
        };
        yield return new("MagnitudeBackward", $"{rows}x{columns} in place")
        {
            Operands = [Updated("dY", rows, columns), Input32("factors", 2, columns), Updated("unit", rows, columns)],
            Run = (b, t) => b.MagnitudeBackward(t[0], t[1], t[2], t[0]),
            Expect = v => (v[0], v[2]) = (ReferenceDense.ScaleColumns(v[0], v[1].AsSpan(columns)), Product(v[0], v[2])),
        };
    }

    // Of columns of wider tensors, a whole number of packs apart and not.
    private static IEnumerable<OperationCase> Columns()
    {
        foreach (int pad in new[] { 0, 3 })
        {
            int width = 64 + pad;
            yield return new("Magnitude", $"of columns {pad}")
            {
                Operands = [Updated("y", 5, width), Input32("factors", 2, 32), Output("unit", 5, 32)],
                Run = (b, t) => b.Magnitude(t[0].ColumnRange(16, 32), t[1], t[2]),
                Expect = v =>
                {
                    double[] part = ColumnCases.Of(v[0], 5, 16, 32);
                    v[2] = ReferenceDense.ScaleColumns(part, v[1].AsSpan(0, 32));
                    v[0] = ColumnCases.With(v[0], 5, 16, ReferenceDense.ScaleColumns(part, v[1].AsSpan(32)));
                },
            };
            yield return new("MagnitudeBackward", $"of columns {pad}")
            {
                Operands = [Input("dY", 5, width), Input32("factors", 2, 32), Updated("unit", 5, 32), Updated("dV", 5, width)],
                Run = (b, t) => b.MagnitudeBackward(t[0].ColumnRange(16, 32), t[1], t[2], t[3].ColumnRange(32, 32)),
                Expect = v =>
                {
                    double[] part = ColumnCases.Of(v[0], 5, 16, 32);
                    v[2] = Product(part, v[2]);
                    v[3] = ColumnCases.With(v[3], 5, 32, ReferenceDense.ScaleColumns(part, v[1].AsSpan(32)));
                },
            };
        }
    }

    private static double[] Product(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x * y)];
}
