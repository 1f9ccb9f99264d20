using Forgetting.IO;
using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Gathering, scattering, column copies, rotary positions and pooling.</summary>
internal static class SequenceCases
{
    public static IEnumerable<OperationCase> All() => [.. Rows(), .. Rope(), .. Pooling()];

    private static IEnumerable<OperationCase> Rows()
    {
        foreach ((int vocabulary, int columns, int[] rows) in new (int, int, int[])[]
        {
            (1, 1, [0]), (11, 7, [3, 10, 0, 3, 3]), (64, 64, [63, 0, 17]), (50257, 12, [50256, 0, 777, 50256]), (5, 1030, [4]), (9, 3, []),
        })
        {
            yield return new("GatherRows", $"{rows.Length} of {vocabulary}x{columns}")
            {
                Operands = [Input("table", vocabulary, columns), Integers("rows", rows), Output("y", rows.Length, columns).Exact()],
                Run = (b, t) => b.GatherRows(t[0], t[1], t[2]),
                Expect = v => v[2] = ReferenceSequence.GatherRows(v[0], v[1].Ints(), columns),
                Shift = columns % 2,
            };
        }

        foreach ((int total, int columns, int[] rows) in new (int, int, int[])[]
        {
            (1, 1, [0]), (6, 7, [5, 0, 3]), (40, 64, [.. Enumerable.Range(0, 40).Reverse()]), (3, 1030, [1]),
        })
        {
            yield return new("ScatterRows", $"{rows.Length} to {total}x{columns}")
            {
                Operands = [Input("x", rows.Length, columns), Integers("rows", rows), Updated("y", total, columns).Exact()],
                Run = (b, t) => b.ScatterRows(t[0], t[1], t[2]),
                Expect = v => v[2] = ReferenceSequence.ScatterRows(v[0], v[1].Ints(), v[2]),
                Shift = columns % 2,
            };
        }

        foreach ((int rows, int from, int fromColumn, int to, int toColumn, int count) in new[]
        {
            (1, 1, 0, 1, 0, 1), (5, 9, 3, 4, 1, 3), (17, 96, 32, 32, 0, 32), (17, 32, 0, 96, 64, 32), (3, 64, 0, 64, 0, 64),
            (2, 1031, 515, 517, 1, 516),
        })
        {
            yield return new("CopyColumns", $"{rows} rows, {count} from {fromColumn} of {from} to {toColumn} of {to}")
            {
                Operands = [Input("source", rows, from), Updated("destination", rows, to).Exact()],
                Run = (b, t) => b.CopyColumns(t[0], fromColumn, t[1], toColumn, count),
                Expect = v => v[1] = ReferenceSequence.CopyColumns(v[0], from, fromColumn, v[1], to, toColumn, count),
                Shift = from % 2,
            };
        }
    }

    private static IEnumerable<OperationCase> Rope()
    {
        foreach ((int heads, int headSize, int turned, int[] positions) in new (int, int, int, int[])[]
        {
            (1, 2, 2, [0]), (3, 6, 6, [4, 0, 19]), (8, 8, 8, [.. Enumerable.Range(0, 20)]), (2, 16, 16, [7, 7, 7]),
            (4, 64, 64, [0, 1, 2, 0, 1, 19]), (1, 80, 80, [13, 2]), (2, 128, 128, [19, 18, 0]),
            (3, 7, 4, [4, 0, 19]), (2, 64, 16, [3, 2, 19]), (2, 128, 96, [19, 18, 0]), (3, 12, 10, [1, 5]),
        })
        {
            foreach (bool inverse in new[] { false, true })
            {
                int half = turned / 2;
                double Angle(int i) => i / half * Math.Pow(10000, -(double)(i % half) / half);
                string part = turned < headSize ? $" turned {turned}" : "";
                yield return new("Rope", $"{positions.Length}x{heads}x{headSize}{part}{(inverse ? " inverse" : "")}")
                {
                    Operands =
                    [
                        Updated("x", positions.Length, heads * headSize),
                        Integers("positions", positions),
                        Input32("cosine", 20, half, (_, _) => [.. Enumerable.Range(0, 20 * half).Select(i => Math.Cos(Angle(i)))]),
                        Input32("sine", 20, half, (_, _) => [.. Enumerable.Range(0, 20 * half).Select(i => Math.Sin(Angle(i)))]),
                    ],
                    Run = (b, t) => b.Rope(t[0], t[1], t[2], t[3], headSize, inverse),
                    Expect = v => v[0] = ReferenceSequence.Rope(v[0], v[1].Ints(), v[2], v[3], headSize, turned, inverse),
                    Shift = heads == 3 ? 1 : 0,
                };
            }
        }
    }

    private static IEnumerable<OperationCase> Pooling()
    {
        foreach (int[] offsets in OperationCases.Layouts)
        {
            int rows = offsets[^1], sequences = offsets.Length - 1;
            foreach (int columns in new[] { 1, 7, 64 })
            {
                yield return new("SegmentMean", $"{sequences} of {rows}x{columns}")
                {
                    Operands = [Input("x", rows, columns), Integers("offsets", offsets), Output32("y", sequences, columns)],
                    Run = (b, t) => b.SegmentMean(t[0], t[1], t[2]),
                    Expect = v => v[2] = ReferenceSequence.SegmentMean(v[0], v[1].Ints(), columns),
                    Shift = columns % 2,
                };
                yield return new("SegmentMeanBackward", $"{sequences} of {rows}x{columns}")
                {
                    Operands = [Input32("dY", sequences, columns), Integers("offsets", offsets), Updated("dX", rows, columns)],
                    Run = (b, t) => b.SegmentMeanBackward(t[0], t[1], t[2]),
                    Expect = v => v[2] = ReferenceSequence.SegmentMeanBackward(v[0], v[1].Ints(), v[2]),
                    Shift = columns % 2,
                };
            }
        }
    }
}
