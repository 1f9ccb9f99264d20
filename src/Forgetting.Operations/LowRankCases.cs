using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Low-rank updates with dropout; the plain version drops first and multiplies then.</summary>
internal static class LowRankCases
{
    public static IEnumerable<OperationCase> All()
    {
        // Tiles have 16, 32 or 64 rows and 64 columns, the sum's pieces 32 or 256 terms.
        foreach ((int rows, int columns, int rank, float rate, ulong seed, int stream) in new[]
        {
            (1, 1, 1, 0.5f, 0UL, 0), (3, 7, 5, 0.1f, 12345UL, 3), (9, 64, 8, 0.5f, 0xFEDCBA9876543210UL, 1000),
            (5, 1030, 3, 0.9f, 1UL << 32, -1), (2, 65, 16, 0f, 7UL, 1), (70, 136, 64, 0.1f, 3UL, 2), (37, 72, 70, 0.3f, 4UL, 5),
            (0, 8, 8, 0.1f, 1UL, 0),
        })
        {
            foreach (OperationCase each in Cases(rows, columns, rank, rate, seed, stream))
            {
                yield return each with { Shift = columns % 2 };
            }
        }

        foreach (OperationCase each in Cases(1601, 260, 12, 0.1f, 5, 7))
        {
            yield return each with { Large = true };
        }
    }

    private static IEnumerable<OperationCase> Cases(int rows, int columns, int rank, float rate, ulong seed, int stream)
    {
        var mask = new DropoutMask(rate, stream, default, default);
        string variant = $"{rows}x{columns} rank {rank} rate {rate}";
        double[] Dropped(double[] x, double[] keys) => ReferenceElementwise.Dropout(x, keys.Ints(), seed, mask);

        // Keys far apart and out of order, as packing gives them, the extremes among them.
        Operand keys = Integers(
            "rowKeys", [.. Enumerable.Range(0, rows).Select(i => i switch { 0 => 0, 1 => int.MaxValue, 2 => -1, _ => 97 * (rows - i) })]);
        Operand key = Integers("seed", (int)seed, (int)(seed >> 32));
        yield return new("LoraDown", variant)
        {
            Operands = [Input("x", rows, columns), keys, key, Input("a", rank, columns), Output("low", rows, rank)],
            Run = (b, t) => b.LoraDown(t[0], mask with { RowKeys = t[1], Seed = t[2] }, t[3], -0.5f, t[4]),
            Expect = v => v[4] = ReferenceDense.Gemm(Dropped(v[0], v[1]), false, v[3], true, v[4], rows, rank, columns, -0.5f, 0),
        };
        yield return new("LoraDownGradient", variant)
        {
            Operands = [Input("dLow", rows, rank), Input("x", rows, columns), keys, key, Updated32("gradient", rank, columns)],
            Run = (b, t) => b.LoraDownGradient(t[0], t[1], mask with { RowKeys = t[2], Seed = t[3] }, t[4]),
            Expect = v => v[4] = ReferenceDense.Gemm(v[0], true, Dropped(v[1], v[2]), false, v[4], rank, columns, rows, 1, 1),
        };
        yield return new("LoraDownInput", variant)
        {
            Operands = [Input("dLow", rows, rank), Input("a", rank, columns), keys, key, Updated("dX", rows, columns)],
            Run = (b, t) => b.LoraDownInput(t[0], t[1], mask with { RowKeys = t[2], Seed = t[3] }, t[4]),
            Expect = v =>
            {
                double[] product = ReferenceDense.Gemm(v[0], false, v[1], false, new double[rows * columns], rows, columns, rank, 1, 0);
                v[4] = [.. v[4].Zip(Dropped(product, v[2]), (old, added) => old + added)];
            },
        };
    }
}
