using Forgetting.Backends;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Reductions over gradients and the optimiser's step.</summary>
internal static class OptimizerCases
{
    public static IEnumerable<OperationCase> All()
    {
        foreach ((int rows, int columns, int index) in new[] { (1, 1, 0), (1, 7, 2), (3, 64, 1), (33, 65, 3), (1031, 1021, 1) })
        {
            yield return new("SumOfSquares", $"{rows}x{columns}")
            {
                Operands = [Input32("x", rows, columns), Updated32("result", 1, 4)],
                Run = (b, t) => b.SumOfSquares(t[0], t[1], index),
                Expect = v => v[1] = Added(v[1], index, v[0].Sum(x => x * x)),
                Shift = columns % 2,
            };
            yield return new("Dot", $"{rows}x{columns}")
            {
                // The terms cancel: errors are relative to the root of the sum of their squares.
                Operands = [Input32("a", rows, columns), Input32("b", rows, columns),
                    Updated32("result", 1, 4) with { Scale = Math.Sqrt(rows * columns) }],
                Run = (b, t) => b.Dot(t[0], t[1], t[2], index),
                Expect = v => v[2] = Added(v[2], index, v[0].Zip(v[1], (x, y) => x * y).Sum()),
                Shift = columns % 2,
            };
        }

        foreach ((int count, AdamWStep step) in new (int, AdamWStep)[]
        {
            (1, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0, 1, 1)), (7, new(1e-2f, 0.9f, 0.95f, 1e-6f, 0.1f, 2, 0.25f)),
            (20011, new(1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 1000, 1)), (65, new(0, 0.9f, 0.999f, 1e-8f, 0.1f, 3, 1)),
            (64, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 4, 1)),
        })
        {
            foreach (bool separate in new[] { false, true })
            {
                yield return new("AdamW", $"{count} step {step.Step}{(separate ? " with a copy" : "")}")
                {
                    Operands =
                    [
                        Updated32("master", 1, count), Updated32("gradient", 1, count).Exact(),
                        Updated32("m", 1, count, Normal(count, 0.1)),
                        // Second moments from 0 (never touched) to 1.
                        Updated32(
                            "v", 1, count,
                            (random, _) => [.. Draw(random, count).Select((x, i) => i % 5 == 0 ? 0 : Math.Pow(10, -4 * Math.Abs(x)))]),
                        Input32("numbers", 1, 4, Given([.. step.Numbers.Select(number => (double)number)])),
                        .. separate ? new[] { Output("value", 1, count) } : [],
                    ],
                    Run = (b, t) => b.AdamW(t[0], separate ? t[5] : t[0], t[1], t[2], t[3], step.Settings, t[4]),
                    Expect = v =>
                    {
                        (v[0], v[2], v[3]) = ReferenceDense.AdamW(v[0], v[1], v[2], v[3], step);
                        v[1] = new double[count];
                        if (separate)
                            v[5] = v[0];
                    },
                    Shift = count % 2,
                };
            }
        }

        foreach (OperationCase each in Roundings().Concat(In8Bits()))
        {
            yield return each;
        }
    }

    private static IEnumerable<OperationCase> Roundings()
    {
        foreach ((int rows, int columns, bool add, int stream) in new[]
        {
            (1, 1, false, 0), (1, 7, true, 3), (2, 64, true, 1), (3, 67, false, 70000), (33, 1021, true, 2), (1, 1003, false, -1),
        })
        {
            yield return new("StochasticRound", $"{rows}x{columns}{(add ? " to a sum" : "")} stream {stream}")
            {
                Operands =
                [
                    Input32("x", rows, columns, (random, _) => Awkward(Draw(random, rows * columns))),
                    Updated("y", rows, columns).Exact() with { Type = DType.BFloat16 },
                    Integers("key", 123456789, -42),
                ],
                Run = (b, t) => b.StochasticRound(t[0], t[1], add, new Rounding(t[2], stream)),
                Expect = v => v[1] =
                [
                    .. v[0].Zip(v[1], (x, y) => (double)(float)(add ? x + y : x))
                        .Select((sum, i) => ReferenceRounding.Round(sum, i, 123456789, unchecked((uint)-42), (uint)stream)),
                ],
                Shift = columns % 2,
            };
        }

        // Of every ninth number one that bfloat16 has, its neighbours in Float32, subnormals and what is no number.
        static double[] Awkward(double[] values)
        {
            double[] given = [0, 1.5, -1.5 - 1e-6, 3.3895314e38, 3e-39, double.PositiveInfinity, double.NegativeInfinity, double.NaN];
            return [.. values.Select((x, i) => i % 9 == 5 ? given[i / 9 % given.Length] : x)];
        }
    }

    // Codes are demanded to the bit: a value so near a midpoint that rounding decides would need another seed.
    private static IEnumerable<OperationCase> In8Bits()
    {
        foreach ((int count, AdamWStep step) in new (int, AdamWStep)[]
        {
            (1, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0, 1, 1)), (7, new(1e-2f, 0.9f, 0.95f, 1e-6f, 0.1f, 2, 0.25f)),
            (256, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 4, 1)), (1031, new(1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 1000, 1)),
            (264, new(1e-3f, 0.8f, 0.99f, 1e-8f, 0.01f, 4, 1)),
        })
        {
            int blocks = (count + 255) / 256;
            foreach (bool separate in new[] { false, true })
            {
                yield return new("AdamW8Bit", $"{count} step {step.Step}{(separate ? " with a copy" : "")}")
                {
                    Operands =
                    [
                        Updated32("master", 1, count), Updated32("gradient", 1, count).Exact(), UpdatedBytes("m codes", count),
                        Updated32("m scales", 1, blocks, Uniform(blocks, 0.01, 1)), UpdatedBytes("v codes", count),
                        // A block whose second moments were never touched, and others.
                        Updated32(
                            "v scales", 1, blocks,
                            (random, _) => [.. Enumerable.Range(0, blocks).Select(i => i % 3 * random.NextDouble())]),
                        Input32(
                            "maps", 2, DynamicMap.Count, Given([.. DynamicMap.Signed.Concat(DynamicMap.Unsigned).Select(x => (double)x)])),
                        Input32("numbers", 1, 4, Given([.. step.Numbers.Select(number => (double)number)])),
                        .. separate ? new[] { Output("value", 1, count) } : [],
                    ],
                    Run = (b, t) => b.AdamW8Bit(
                        t[0], separate ? t[8] : t[0], t[1], new(t[2], t[3]), new(t[4], t[5]), t[6], step.Settings, t[7]),
                    Expect = v =>
                    {
                        double[] signed = v[6][..DynamicMap.Count], unsigned = v[6][DynamicMap.Count..];
                        double[] m = ReferenceQuantization.Dequantize(v[2], v[3], signed, 256);
                        double[] second = ReferenceQuantization.Dequantize(v[4], v[5], unsigned, 256);
                        (v[0], m, second) = ReferenceDense.AdamW(v[0], v[1], m, second, step);
                        (v[2], v[3]) = ReferenceQuantization.Quantize(m, signed, 256);
                        (v[4], v[5]) = ReferenceQuantization.Quantize(second, unsigned, 256);
                        v[1] = new double[count];
                        if (separate)
                            v[8] = v[0];
                    },
                    Shift = count % 2,
                };
            }
        }
    }

    private static double[] Added(double[] result, int index, double value) =>
        [.. result.Select((old, i) => i == index ? old + value : old)];
}
