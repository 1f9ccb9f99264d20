using Forgetting.Backends;
using Forgetting.IO;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>What weight gradients end in.</summary>
internal static class SinkCases
{
    public static IEnumerable<OperationCase> All()
    {
        foreach (int[] offsets in OperationCases.Layouts)
        {
            foreach ((int outputs, int columns) in new[] { (1, 1), (5, 7), (64, 48), (33, 129) })
            {
                foreach (OperationCase operationCase in Matrix(offsets, outputs, columns))
                {
                    yield return operationCase;
                }
            }

            foreach (int columns in new[] { 1, 7, 64, 1030 })
            {
                foreach (OperationCase operationCase in Columns(offsets, columns))
                {
                    yield return operationCase;
                }
            }

            foreach ((int vocabulary, int columns) in new[] { (1, 3), (4, 7), (300, 64) })
            {
                foreach (OperationCase operationCase in Rows(offsets, vocabulary, columns))
                {
                    yield return operationCase;
                }
            }
        }

        foreach (OperationCase operationCase in Matrix([0, 200, 201, 700], 160, 144))
        {
            yield return operationCase with { Large = true };
        }

        foreach (OperationCase operationCase in Rows([0, 9, 10, 30], 50257, 8))
        {
            yield return operationCase with { Large = true };
        }

        // Sequences that end with a slab of 16 or 32 rows or a tile of 128: the next one begins with nothing left over.
        foreach (OperationCase operationCase in Matrix([0, 32, 96, 112, 113, 145], 33, 24))
        {
            yield return operationCase;
        }

        foreach (int[] offsets in new int[][] { [0, 256], [0, 128, 384, 389] })
        {
            foreach (OperationCase operationCase in Columns(offsets, 16))
            {
                yield return operationCase;
            }
        }

        // More columns than a block of HeadRows takes.
        foreach (OperationCase operationCase in Rows([0, 3, 5], 5, 520))
        {
            yield return operationCase;
        }

        // More than 256 rows, sequences of more than 256 among them, and a weight of more than 256 tiles: a block takes them 256 at a time.
        foreach (OperationCase operationCase in Rows([0, 5, 305, 310], 290, 8))
        {
            yield return operationCase;
        }

        // More than a tile of outputs.
        foreach (OperationCase operationCase in Matrix([0, 2, 5], 130, 3))
        {
            yield return operationCase;
        }

        foreach (OperationCase operationCase in Matrix([0, 1, 3], 1, 33000))
        {
            yield return operationCase;
        }

        // The last sequence has no rows with gradients: it must add nothing and still have its line in the result.
        foreach (OperationCase operationCase in Matrix([0, 0, 4, 9, 9], 5, 7))
        {
            yield return operationCase;
        }
    }

    private static string Describe(int[] offsets, int rows, int columns) =>
        $"{offsets.Length - 1} sequences of {offsets[^1]}, {rows}x{columns}";

    private static IEnumerable<OperationCase> Matrix(int[] offsets, int outputs, int columns)
    {
        int rows = offsets[^1], sequences = offsets.Length - 1, shift = columns == 7 ? 1 : 0;
        string variant = Describe(offsets, outputs, columns);
        Operand[] inputs = [Input("x", rows, columns), Input("dY", rows, outputs), Integers("offsets", offsets)];
        yield return new("SquareAccumulateMatrix", variant)
        {
            Operands = [.. inputs, Updated32("sum", outputs, columns)],
            Run = (b, t) => b.SquareAccumulateMatrix(t[0], t[1], t[2], t[3]),
            Expect = v => v[3] = ReferenceSinks.SquareAccumulate(ReferenceSinks.MatrixGradients(v[0], v[1], v[2].Ints()), v[3]),
            Shift = shift,
        };
        yield return new("ProjectMatrix", variant)
        {
            Operands = [.. inputs, Input32("a", outputs, columns), Input32("b", outputs, columns), Updated32("result", sequences, 2)],
            Run = (b, t) => b.ProjectMatrix(t[0], t[1], t[2], t[3], t[4], t[5]),
            Expect = v => v[5] = ReferenceSinks.Project(ReferenceSinks.MatrixGradients(v[0], v[1], v[2].Ints()), v[3], v[4], v[5]),
            Shift = shift,
        };
    }

    private static IEnumerable<OperationCase> Columns(int[] offsets, int columns)
    {
        int rows = offsets[^1], sequences = offsets.Length - 1, shift = columns % 2;
        string variant = Describe(offsets, 1, columns);
        yield return new("AccumulateColumns", variant)
        {
            Operands = [Input("dY", rows, columns), Updated32("gradient", 1, columns)],
            Run = (b, t) => b.AccumulateColumns(t[0], t[1]),
            Expect = v => v[1] = ReferenceSinks.Accumulate(ReferenceSinks.ColumnGradients(v[0], offsets, columns), v[1]),
            Shift = shift,
        };
        yield return new("SquareAccumulateColumns", variant)
        {
            Operands = [Input("dY", rows, columns), Integers("offsets", offsets), Updated32("sum", 1, columns)],
            Run = (b, t) => b.SquareAccumulateColumns(t[0], t[1], t[2]),
            Expect = v => v[2] = ReferenceSinks.SquareAccumulate(ReferenceSinks.ColumnGradients(v[0], offsets, columns), v[2]),
            Shift = shift,
        };
        yield return new("ProjectColumns", variant)
        {
            Operands =
            [
                Input("dY", rows, columns), Integers("offsets", offsets), Input32("a", 1, columns), Input32("b", 1, columns),
                Updated32("result", sequences, 2),
            ],
            Run = (b, t) => b.ProjectColumns(t[0], t[1], t[2], t[3], t[4]),
            Expect = v => v[4] = ReferenceSinks.Project(ReferenceSinks.ColumnGradients(v[0], offsets, columns), v[2], v[3], v[4]),
            Shift = shift,
        };
    }

    private static IEnumerable<OperationCase> Rows(int[] offsets, int vocabulary, int columns)
    {
        int total = offsets[^1], sequences = offsets.Length - 1, shift = columns % 2;
        string variant = Describe(offsets, vocabulary, columns);
        // Tokens that repeat within and across sequences, the table's last among them.
        int[] tokens =
        [
            .. Enumerable.Range(0, total).Select(t => t % 5 == 0 ? vocabulary - 1 : t > 255 ? t % vocabulary : t * t % 11 % vocabulary),
        ];
        Operand rows = Integers("rows", tokens), dY = Input("dY", total, columns), packed = Integers("offsets", offsets);
        Operand a = Input32("a", vocabulary, columns), b2 = Input32("b", vocabulary, columns);
        double[][] Gradients(double[] dYValues) => ReferenceSinks.RowGradients(tokens, dYValues, offsets, vocabulary, columns);
        double[][] Head(double[] head) => ReferenceSinks.SpreadHead(head, tokens, offsets, vocabulary, columns);
        Operand head = Input32("head", total, columns, (random, _) =>
        {
            double[] values = Draw(random, total * columns);
            for (int s = 0; s < sequences; s++)
            {
                for (int t = offsets[s]; t < offsets[s + 1]; t++)
                {
                    if (Array.IndexOf(tokens, tokens[t], offsets[s]) != t)
                        Array.Clear(values, t * columns, columns);
                }
            }

            return values;
        });

        yield return new("AccumulateRows", variant)
        {
            Operands = [rows, dY, Updated32("gradient", vocabulary, columns)],
            Run = (b, t) => b.AccumulateRows(t[0], t[1], t[2]),
            Expect = v => v[2] = ReferenceSinks.Accumulate(Gradients(v[1]), v[2]),
            Shift = shift,
        };
        yield return new("AccumulateRows", variant + " rounded")
        {
            Operands = [rows, dY, Updated("gradient", vocabulary, columns) with { Type = DType.BFloat16 }, Integers("key", 77, -5)],
            Run = (b, t) => b.AccumulateRows(t[0], t[1], t[2], new Rounding(t[3], 9)),
            // Rows that nobody looks up keep their bits; of the others the sum decides, whose last bit is the order's affair.
            Expect = v => v[2] =
            [
                .. ReferenceSinks.Accumulate(Gradients(v[1]), v[2]).Zip(v[2], (sum, before) => (sum, before))
                    .Select((each, i) => each.sum == each.before
                        ? each.before : ReferenceRounding.Round((float)each.sum, i, 77, unchecked((uint)-5), 9)),
            ],
            Shift = shift,
        };
        yield return new("SquareAccumulateRows", variant)
        {
            Operands = [rows, dY, packed, Updated32("sum", vocabulary, columns)],
            Run = (b, t) => b.SquareAccumulateRows(t[0], t[1], t[2], default, t[3]),
            Expect = v => v[3] = ReferenceSinks.SquareAccumulate(Gradients(v[1]), v[3]),
            Shift = shift,
        };
        yield return new("SquareAccumulateRows", variant + " with head")
        {
            Operands = [rows, dY, packed, head, Updated32("sum", vocabulary, columns)],
            Run = (b, t) => b.SquareAccumulateRows(t[0], t[1], t[2], t[3], t[4]),
            Expect = v => v[4] = ReferenceSinks.SquareAccumulate(Gradients(v[1]), v[4], Head(v[3])),
            Shift = shift,
        };
        yield return new("ProjectRows", variant)
        {
            Operands = [rows, dY, packed, a, b2, Updated32("result", sequences, 2)],
            Run = (b, t) => b.ProjectRows(t[0], t[1], t[2], default, t[3], t[4], t[5]),
            Expect = v => v[5] = ReferenceSinks.Project(Gradients(v[1]), v[3], v[4], v[5]),
            Shift = shift,
        };
        yield return new("ProjectRows", variant + " with head")
        {
            Operands = [rows, dY, packed, head, a, b2, Updated32("result", sequences, 2)],
            Run = (b, t) => b.ProjectRows(t[0], t[1], t[2], t[3], t[4], t[5], t[6]),
            Expect = v => v[6] = ReferenceSinks.Project(Gradients(v[1]), v[4], v[5], v[6], Head(v[3])),
            Shift = shift,
        };

        // Two predictions in three rows, none at all in the last sequence.
        int[] headOffsets = [.. offsets.Select((offset, s) => (s == sequences && s > 1 ? offsets[s - 1] : offset) * 2 / 3)];
        if (headOffsets[^1] == 0)
            headOffsets[^1] = 1;

        yield return new("HeadRows", variant)
        {
            Operands =
            [
                Input("dLogits", headOffsets[^1], vocabulary), Input("x", headOffsets[^1], columns), Integers("headOffsets", headOffsets),
                rows, packed, Output32("y", total, columns),
            ],
            Run = (b, t) => b.HeadRows(t[0], t[1], t[2], t[3], t[4], t[5]),
            Expect = v => v[5] = ReferenceSinks.HeadRows(v[0], v[1], headOffsets, tokens, offsets, vocabulary, columns),
            Shift = shift,
        };
    }
}
