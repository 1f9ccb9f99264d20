using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Operations on columns of wider tensors: whole packs of 16 bytes with <c>pad</c> 0, odd columns with 1.</summary>
internal static class ColumnCases
{
    public static IEnumerable<OperationCase> All() => [.. Padded(0), .. Padded(1)];

    private static IEnumerable<OperationCase> Padded(int pad) => [.. Dense(pad), .. Attention(pad), .. Elementwise(pad), .. Sinks(pad)];

    private static IEnumerable<OperationCase> Dense(int pad)
    {
        // Each operand stands between 16 other columns before and 16 behind.
        int m = 33, n = 48, k = 64, side = 16 + pad;
        foreach ((bool transposeA, bool transposeB, float beta) in new[] { (false, true, 0f), (false, false, 1f), (true, false, 0f) })
        {
            (int aRows, int aColumns) = transposeA ? (k, m) : (m, k);
            (int bRows, int bColumns) = transposeB ? (n, k) : (k, n);
            yield return new("Gemm", $"{m}x{n}x{k} {(transposeA ? 'T' : 'N')}{(transposeB ? 'T' : 'N')} beta {beta} of columns {pad}")
            {
                Operands =
                [
                    Input("a", aRows, aColumns + (2 * side)), Input("b", bRows, bColumns + (2 * side)), Updated("c", m, n + (2 * side)),
                ],
                Run = (b, t) => b.Gemm(
                    t[0].ColumnRange(side, aColumns), transposeA, t[1].ColumnRange(side, bColumns), transposeB,
                    t[2].ColumnRange(side, n), 1, beta),
                Expect = v => v[2] = With(
                    v[2], m, side,
                    ReferenceDense.Gemm(
                        Of(v[0], aRows, side, aColumns), transposeA, Of(v[1], bRows, side, bColumns), transposeB, Of(v[2], m, side, n),
                        m, n, k, 1, beta)),
            };
        }

        foreach (int columns in new[] { 32, 30 })
        {
            yield return new("AddBias", $"to {columns} columns {pad}")
            {
                Operands = [Updated("y", 5, 64 + pad), Input("bias", 1, columns)],
                Run = (b, t) => b.AddBias(t[0].ColumnRange(16, columns), t[1]),
                Expect = v => v[0] = With(v[0], 5, 16, ReferenceDense.AddBias(Of(v[0], 5, 16, columns), v[1])),
            };
        }

        int[] rows = [5, 0, 3];
        yield return new("ScatterRows", $"of columns {pad}")
        {
            Operands = [Input("x", 3, 64 + pad), Integers("rows", rows), Updated("y", 6, 32).Exact()],
            Run = (b, t) => b.ScatterRows(t[0].ColumnRange(16, 32), t[1], t[2]),
            Expect = v => v[2] = ReferenceSequence.ScatterRows(Of(v[0], 3, 16, 32), v[1].Ints(), v[2]),
        };
    }

    // Queries, keys and values side by side.
    private static IEnumerable<OperationCase> Attention(int pad)
    {
        foreach (AttentionShape shape in new AttentionShape[]
        {
            new(4, 2, 8, 0.35f), new(2, 2, 12, 0.3f), new(2, 1, 64, 0.125f, 31), new(2, 2, 128, 0.09f), new(2, 1, 256, 0.06f, 0, 2),
        })
        {
            int[] offsets = OperationCases.Layouts[4];
            int rows = offsets[^1], d = shape.HeadSize, q = shape.Heads * d, kv = shape.KeyValueHeads * d, all = q + (2 * kv) + pad;
            string name = $"of columns {pad}, {shape.Heads}/{shape.KeyValueHeads} heads of {d}";
            (double[] Q, double[] K, double[] V) Parts(double[] v) => (Of(v, rows, 0, q), Of(v, rows, q, kv), Of(v, rows, q + kv, kv));
            (double[] O, double[] LogSumExp) Forward(double[] v)
            {
                (double[] queries, double[] keys, double[] values) = Parts(v);
                return ReferenceAttention.Forward(shape, queries, keys, values, offsets);
            }

            yield return new("Attention", name)
            {
                Operands = [Input("qkv", rows, all), Integers("offsets", offsets), Output("o", rows, q),
                    Output32("logSumExp", rows, shape.Heads)],
                Run = (b, t) => b.Attention(
                    shape, t[0].ColumnRange(0, q), t[0].ColumnRange(q, kv), t[0].ColumnRange(q + kv, kv), t[1], t[2], t[3]),
                Expect = v => (v[2], v[3]) = Forward(v[0]),
            };
            yield return new("AttentionBackward", name)
            {
                Operands =
                [
                    Input("qkv", rows, all), Integers("offsets", offsets), Input("o", rows, q, (_, v) => Forward(v[0]).O),
                    Input32("logSumExp", rows, shape.Heads, (_, v) => Forward(v[0]).LogSumExp), Input("dO", rows, q),
                    Output32("delta", rows, shape.Heads), Updated("dQkv", rows, all) with { Loosen = 1.5, LoosenBFloat16 = 6 },
                ],
                Run = (b, t) => b.AttentionBackward(
                    shape, t[0].ColumnRange(0, q), t[0].ColumnRange(q, kv), t[0].ColumnRange(q + kv, kv), t[1], t[2], t[3], t[4], t[5],
                    t[6].ColumnRange(0, q), t[6].ColumnRange(q, kv), t[6].ColumnRange(q + kv, kv)),
                Expect = v =>
                {
                    v[5] = ReferenceAttention.Delta(shape, v[2], v[4]);
                    (double[] queries, double[] keys, double[] values) = Parts(v[0]);
                    (double[] dQ, double[] dK, double[] dV) = ReferenceAttention.Backward(shape, queries, keys, values, offsets, v[4]);
                    v[6] = With(With(With(v[6], rows, 0, dQ), rows, q, dK), rows, q + kv, dV);
                },
            };
            foreach ((int[] added, string what) in new[] { ((int[])[0, 1, 2], "decoding"), ([0, 3, 7], "several new tokens") })
            {
                int[] starts = [20, 0], lengths = [9, 17];
                int count = added[^1];
                yield return new("AttentionWithCache", $"{name}, {what}")
                {
                    Operands =
                    [
                        Input("q", count, all), Integers("offsets", added), Input("keys", 32, kv), Input("values", 32, kv),
                        Integers("starts", starts), Integers("lengths", lengths), Output("o", count, q),
                    ],
                    Run = (b, t) => b.AttentionWithCache(shape, t[0].ColumnRange(0, q), t[1], t[2], t[3], t[4], t[5], t[6]),
                    Expect = v => v[6] = ReferenceAttention.WithCache(shape, Of(v[0], count, 0, q), added, v[2], v[3], starts, lengths),
                };
            }
        }

        int[] positions = [4, 0, 19];
        yield return new("Rope", $"of columns {pad}")
        {
            Operands =
            [
                Updated("x", 3, 80 + pad), Integers("positions", positions), Input32("cosine", 20, 16, Uniform(320, -1, 1)),
                Input32("sine", 20, 16, Uniform(320, -1, 1)),
            ],
            Run = (b, t) => b.Rope(t[0].ColumnRange(0, 64), t[1], t[2], t[3], 32, inverse: false),
            Expect = v => v[0] = With(v[0], 3, 0, ReferenceSequence.Rope(Of(v[0], 3, 0, 64), positions, v[2], v[3], 32, 32, false)),
        };
    }

    // Gate and up side by side; the gradients in their place, as in a layer, and beside them.
    private static IEnumerable<OperationCase> Elementwise(int pad)
    {
        int rows = 5, columns = 32 + pad, all = 2 * columns;
        foreach (bool silu in new[] { true, false })
        {
            (double[] Gate, double[] Up) Parts(double[] v) => (Of(v, rows, 0, columns), Of(v, rows, columns, columns));
            yield return new(silu ? "SwiGlu" : "GeGlu", $"of columns {pad}")
            {
                Operands = [Input("joint", rows, all), Output("y", rows, columns)],
                Run = (b, t) =>
                {
                    (ColumnView gate, ColumnView up) = (t[0].ColumnRange(0, columns), t[0].ColumnRange(columns, columns));
                    (silu ? (Action<ColumnView, ColumnView, Tensor>)b.SwiGlu : b.GeGlu)(gate, up, t[1]);
                },
                Expect = v => v[1] = (silu ? (Func<double[], double[], double[]>)ReferenceElementwise.SwiGlu : ReferenceElementwise.GeGlu)(
                    Parts(v[0]).Gate, Parts(v[0]).Up),
            };
            yield return new(silu ? "SwiGluBackward" : "GeGluBackward", $"of columns {pad}")
            {
                Operands = [Updated("joint", rows, all), Input("dY", rows, columns)],
                Run = (b, t) =>
                {
                    (ColumnView gate, ColumnView up) = (t[0].ColumnRange(0, columns), t[0].ColumnRange(columns, columns));
                    (silu ? (Action<ColumnView, ColumnView, Tensor, ColumnView, ColumnView>)b.SwiGluBackward : b.GeGluBackward)(
                        gate, up, t[1], gate, up);
                },
                Expect = v =>
                {
                    (double[] gate, double[] up) = Parts(v[0]);
                    (double[] dGate, double[] dUp) = silu
                        ? ReferenceElementwise.SwiGluBackward(gate, up, v[1]) : ReferenceElementwise.GeGluBackward(gate, up, v[1]);
                    v[0] = With(With(v[0], rows, 0, dGate), rows, columns, dUp);
                },
            };
        }
    }

    private static IEnumerable<OperationCase> Sinks(int pad)
    {
        int[] offsets = OperationCases.Layouts[4];
        int rows = offsets[^1], sequences = offsets.Length - 1, outputs = 33, columns = 48, wide = 80 + pad;
        Operand[] inputs = [Input("x", rows, wide), Input("dY", rows, wide), Integers("offsets", offsets)];
        double[][] Matrices(double[][] v) =>
            ReferenceSinks.MatrixGradients(Of(v[0], rows, 16, columns), Of(v[1], rows, 16, outputs), offsets);
        double[][] Vectors(double[] v) => ReferenceSinks.ColumnGradients(Of(v, rows, 16, columns), offsets, columns);
        yield return new("SquareAccumulateMatrix", $"of columns {pad}")
        {
            Operands = [.. inputs, Updated32("sum", outputs, columns)],
            Run = (b, t) => b.SquareAccumulateMatrix(t[0].ColumnRange(16, columns), t[1].ColumnRange(16, outputs), t[2], t[3]),
            Expect = v => v[3] = ReferenceSinks.SquareAccumulate(Matrices(v), v[3]),
        };
        yield return new("ProjectMatrix", $"of columns {pad}")
        {
            Operands = [.. inputs, Input32("a", outputs, columns), Input32("b", outputs, columns), Updated32("result", sequences, 2)],
            Run = (b, t) => b.ProjectMatrix(t[0].ColumnRange(16, columns), t[1].ColumnRange(16, outputs), t[2], t[3], t[4], t[5]),
            Expect = v => v[5] = ReferenceSinks.Project(Matrices(v), v[3], v[4], v[5]),
        };
        yield return new("AccumulateColumns", $"of columns {pad}")
        {
            Operands = [Input("dY", rows, wide), Updated32("gradient", 1, columns)],
            Run = (b, t) => b.AccumulateColumns(t[0].ColumnRange(16, columns), t[1]),
            Expect = v => v[1] = ReferenceSinks.Accumulate(Vectors(v[0]), v[1]),
        };
        yield return new("SquareAccumulateColumns", $"of columns {pad}")
        {
            Operands = [Input("dY", rows, wide), Integers("offsets", offsets), Updated32("sum", 1, columns)],
            Run = (b, t) => b.SquareAccumulateColumns(t[0].ColumnRange(16, columns), t[1], t[2]),
            Expect = v => v[2] = ReferenceSinks.SquareAccumulate(Vectors(v[0]), v[2]),
        };
        yield return new("ProjectColumns", $"of columns {pad}")
        {
            Operands =
            [
                Input("dY", rows, wide), Integers("offsets", offsets), Input32("a", 1, columns), Input32("b", 1, columns),
                Updated32("result", sequences, 2),
            ],
            Run = (b, t) => b.ProjectColumns(t[0].ColumnRange(16, columns), t[1], t[2], t[3], t[4]),
            Expect = v => v[4] = ReferenceSinks.Project(Vectors(v[0]), v[2], v[3], v[4]),
        };
    }

    // Columns of a row-major matrix.
    internal static double[] Of(double[] values, int rows, int first, int count)
    {
        int width = values.Length / rows;
        return [.. Enumerable.Range(0, rows * count).Select(i => values[(i / count * width) + first + (i % count)])];
    }

    // The matrix with other columns from the first on.
    internal static double[] With(double[] values, int rows, int first, double[] columns)
    {
        double[] result = [.. values];
        int width = values.Length / rows, count = columns.Length / rows;
        for (int i = 0; i < columns.Length; i++)
        {
            result[(i / count * width) + first + (i % count)] = columns[i];
        }

        return result;
    }
}
