using Forgetting.Operations.Reference;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Norms, activations, sums and dropout.</summary>
internal static class ElementwiseCases
{
    private static readonly (int Rows, int Columns)[] s_sizes =
        [(1, 1), (1, 64), (5, 7), (6, 100), (3, 257), (17, 288), (40, 1), (4, 2048)];

    public static IEnumerable<OperationCase> All() =>
        [.. s_sizes.SelectMany(size => Norms(size.Rows, size.Columns)), .. AwkwardNorms(), .. Activations(), .. Sums()];

    private static IEnumerable<OperationCase> Norms(int rows, int columns)
    {
        string size = $"{rows}x{columns}";
        int shift = columns % 2;
        yield return RmsNorm(size, rows, columns, Normal(rows * columns)) with { Shift = shift };
        yield return new("RmsNorm", $"{size} after a sum")
        {
            Operands = [.. SumInputs(rows, columns), Output("y", rows, columns), Output32("rstd", 1, rows)],
            Run = (b, t) => b.RmsNorm(t[0], t[1], t[2], 0, 1e-5f, t[3], t[4]),
            Expect = v => (v[0], (v[3], v[4])) = (Sum(v[0], v[1]), ReferenceElementwise.RmsNorm(Sum(v[0], v[1]), v[2], 1e-5f)),
            Shift = shift,
        };
        yield return RmsNormBackward(size, rows, columns, withProduct: true) with { Shift = shift };
        yield return RmsNormBackward($"{size}, gain frozen", rows, columns, withProduct: false);
        yield return RmsNorm($"{size}, gains from 1", rows, columns, Normal(rows * columns), offset: 1);
        yield return RmsNormBackward($"{size}, gains from 1", rows, columns, withProduct: true, offset: 1);
        yield return new("RmsNormBackward", $"{size}, product in place of dY")
        {
            Operands = [Updated("dY", rows, columns), .. RmsInputs(rows, columns), Updated("dX", rows, columns)],
            Run = (b, t) => b.RmsNormBackward(t[0], t[1], t[2], 0, t[3], t[4], t[0]),
            Expect = v =>
            {
                (double[] dX, double[] product) = ReferenceElementwise.RmsNormBackward(v[0], v[1], v[2], v[3]);
                (v[0], v[4]) = (product, Sum(v[4], dX));
            },
        };
        yield return LayerNorm(size, rows, columns, Normal(rows * columns)) with { Shift = shift };
        yield return new("LayerNorm", $"{size} after a sum")
        {
            Operands = [.. SumInputs(rows, columns), Input("bias", 1, columns), Output("y", rows, columns),
                Output32("statistics", rows, 2)],
            Run = (b, t) => b.LayerNorm(t[0], t[1], t[2], t[3], 1e-5f, t[4], t[5]),
            Expect = v => (v[0], (v[4], v[5])) = (Sum(v[0], v[1]), ReferenceElementwise.LayerNorm(Sum(v[0], v[1]), v[2], v[3], 1e-5f)),
            Shift = shift,
        };
        yield return LayerNormBackward(size, rows, columns, withProduct: true) with { Shift = shift };
        yield return LayerNormBackward($"{size}, gain frozen", rows, columns, withProduct: false);
    }

    private static IEnumerable<OperationCase> AwkwardNorms()
    {
        // ε alone keeps a row of zeros finite; large rows must not overflow their squares' mean; a mean far
        // from zero must not eat the variance.
        yield return RmsNorm("zeros", 3, 33, Constant(3 * 33, 0));
        yield return RmsNorm("tiny", 3, 33, Normal(3 * 33, 1e-4));
        yield return RmsNorm("huge", 3, 33, Normal(3 * 33, 1e15));
        yield return LayerNorm("zeros", 3, 33, Constant(3 * 33, 0));
        yield return LayerNorm("equal elements", 3, 33, Constant(3 * 33, 2));
        OperationCase far = LayerNorm("far from zero", 3, 288, Normal(3 * 288, 1, 100));
        yield return far with { Operands = [.. far.Operands.Select(operand => operand with { Loosen = 5 })] };
    }

    private static OperationCase RmsNorm(string variant, int rows, int columns, Values x, float offset = 0) => new("RmsNorm", variant)
    {
        Operands = [Input("x", rows, columns, x), Input("gain", 1, columns), Output("y", rows, columns), Output32("rstd", 1, rows)],
        Run = (b, t) => b.RmsNorm(t[0], default, t[1], offset, 1e-5f, t[2], t[3]),
        Expect = v => (v[2], v[3]) = ReferenceElementwise.RmsNorm(v[0], Shifted(v[1], offset), 1e-5f),
    };

    private static OperationCase RmsNormBackward(string variant, int rows, int columns, bool withProduct, float offset = 0) =>
        new("RmsNormBackward", variant)
        {
            Operands =
        [
            Input("dY", rows, columns), .. RmsInputs(rows, columns), Updated("dX", rows, columns),
            .. withProduct ? new[] { Output("gainProduct", rows, columns) } : [],
        ],
            Run = (b, t) => b.RmsNormBackward(t[0], t[1], t[2], offset, t[3], t[4], withProduct ? t[5] : default),
            Expect = v =>
            {
                (double[] dX, double[] product) = ReferenceElementwise.RmsNormBackward(v[0], v[1], Shifted(v[2], offset), v[3]);
                v[4] = Sum(v[4], dX);
                if (withProduct)
                    v[5] = product;
            },
        };

    // Multiples of 1/16 between −8 and 8: every storage type holds their sums, so that the plain version normalises the same numbers.
    private static Operand[] SumInputs(int rows, int columns)
    {
        Values coarse = (random, _) => [.. Draw(random, rows * columns).Select(x => Math.Clamp(Math.Round(16 * x) / 16, -8, 8))];
        return [Updated("x", rows, columns, coarse), Input("residual", rows, columns, coarse), Input("gain", 1, columns)];
    }

    private static Operand[] RmsInputs(int rows, int columns) =>
    [
        Input("x", rows, columns), Input("gain", 1, columns),
        Input32("rstd", 1, rows, (_, v) => ReferenceElementwise.RmsNorm(v[1], v[2], 1e-5f).Rstd),
    ];

    private static OperationCase LayerNorm(string variant, int rows, int columns, Values x) => new("LayerNorm", variant)
    {
        Operands =
        [
            Input("x", rows, columns, x), Input("gain", 1, columns), Input("bias", 1, columns), Output("y", rows, columns),
            Output32("statistics", rows, 2),
        ],
        Run = (b, t) => b.LayerNorm(t[0], default, t[1], t[2], 1e-5f, t[3], t[4]),
        Expect = v => (v[3], v[4]) = ReferenceElementwise.LayerNorm(v[0], v[1], v[2], 1e-5f),
    };

    private static OperationCase LayerNormBackward(string variant, int rows, int columns, bool withProduct) =>
        new("LayerNormBackward", variant)
        {
            Operands =
            [
                Input("dY", rows, columns), Input("x", rows, columns), Input("gain", 1, columns),
                Input32("statistics", rows, 2, (_, v) => ReferenceElementwise.LayerNorm(v[1], v[2], v[2], 1e-5f).Statistics),
                Updated("dX", rows, columns), .. withProduct ? new[] { Output("gainProduct", rows, columns) } : [],
            ],
            Run = (b, t) => b.LayerNormBackward(t[0], t[1], t[2], t[3], t[4], withProduct ? t[5] : default),
            Expect = v =>
            {
                (double[] dX, double[] product) = ReferenceElementwise.LayerNormBackward(v[0], v[1], v[2], v[3]);
                v[4] = Sum(v[4], dX);
                if (withProduct)
                    v[5] = product;
            },
        };

    private static IEnumerable<OperationCase> Activations()
    {
        // From deep saturation to the linear part; ±100 overflows a careless exp.
        Values Wide(int count) =>
            (random, _) => [.. Draw(random, count, 3).Select((value, i) => i % 11 == 5 ? 100 * Math.Sign(value) : value)];
        foreach ((int rows, int columns) in new[] { (1, 1), (3, 7), (2, 64), (5, 172), (2, 1031) })
        {
            int count = rows * columns;
            string size = $"{rows}x{columns}";
            Operand Given(string name, bool inPlace) =>
                inPlace ? Updated(name, rows, columns, Wide(count)) : Input(name, rows, columns, Wide(count));

            foreach (bool gelu in new[] { false, true })
            {
                foreach (int target in new[] { 0, 1, 2 })
                {
                    yield return new(gelu ? "GeGlu" : "SwiGlu", $"{size}{(target == 2 ? "" : $" into operand {target}")}")
                    {
                        Operands = [Given("gate", target == 0), Given("up", target == 1),
                            .. target == 2 ? new[] { Output("y", rows, columns) } : []],
                        Run = gelu ? (b, t) => b.GeGlu(t[0], t[1], t[target]) : (b, t) => b.SwiGlu(t[0], t[1], t[target]),
                        Expect = v =>
                            v[target] = gelu ? ReferenceElementwise.GeGlu(v[0], v[1]) : ReferenceElementwise.SwiGlu(v[0], v[1]),
                        Shift = columns % 2,
                    };
                }

                foreach (bool inPlace in new[] { false, true })
                {
                    int target = inPlace ? 0 : 3;
                    yield return new(gelu ? "GeGluBackward" : "SwiGluBackward", $"{size}{(inPlace ? " in place" : "")}")
                    {
                        Operands =
                        [
                            Given("gate", inPlace), Given("up", inPlace), Input("dY", rows, columns),
                            .. inPlace ? [] : new[] { Output("dGate", rows, columns), Output("dUp", rows, columns) },
                        ],
                        Run = gelu
                            ? (b, t) => b.GeGluBackward(t[0], t[1], t[2], t[target], t[target + 1])
                            : (b, t) => b.SwiGluBackward(t[0], t[1], t[2], t[target], t[target + 1]),
                        Expect = v => (v[target], v[target + 1]) = gelu
                            ? ReferenceElementwise.GeGluBackward(v[0], v[1], v[2])
                            : ReferenceElementwise.SwiGluBackward(v[0], v[1], v[2]),
                        Shift = columns % 2,
                    };
                }
            }

            foreach (bool inPlace in new[] { false, true })
            {
                // Both ends of the curve, and the middle where it is nearly straight.
                const float Cap = 5;
                yield return new("SoftCap", $"{size}{(inPlace ? " in place" : "")}")
                {
                    Operands = [Given("x", inPlace), .. inPlace ? [] : new[] { Output("y", rows, columns) }],
                    Run = (b, t) => b.SoftCap(t[0], t[inPlace ? 0 : 1], Cap),
                    Expect = v => v[inPlace ? 0 : 1] = Array.ConvertAll(v[0], x => ReferenceElementwise.SoftCap(x, Cap)),
                    Shift = columns % 2,
                };
                yield return new("SoftCapBackward", $"{size}{(inPlace ? " in place of dY" : "")}")
                {
                    Operands =
                    [
                        Given("x", false), inPlace ? Updated("dY", rows, columns) : Input("dY", rows, columns),
                        .. inPlace ? [] : new[] { Output("dX", rows, columns) },
                    ],
                    Run = (b, t) => b.SoftCapBackward(t[0], t[1], t[inPlace ? 1 : 2], Cap),
                    Expect = v => v[inPlace ? 1 : 2] =
                        [.. v[0].Zip(v[1], (x, d) => d * ReferenceElementwise.SoftCapDerivative(x, Cap))],
                    Shift = columns % 2,
                };
            }

            foreach (bool tanh in new[] { false, true })
            {
                string kind = tanh ? "tanh" : "erf";
                yield return new("Gelu", $"{size} {kind}")
                {
                    Operands = [Given("x", false), Output("y", rows, columns)],
                    Run = (b, t) => b.Gelu(t[0], t[1], tanh),
                    Expect = v => v[1] = Array.ConvertAll(v[0], x => ReferenceElementwise.Gelu(x, tanh)),
                    Shift = columns % 2,
                };
                foreach (int target in new[] { 0, 1, 2 })
                {
                    yield return new("GeluBackward", $"{size} {kind}{(target == 2 ? "" : $" into operand {target}")}")
                    {
                        Operands =
                        [
                            Given("x", target == 0), Given("dY", target == 1), .. target == 2 ? new[] { Output("dX", rows, columns) } : [],
                        ],
                        Run = (b, t) => b.GeluBackward(t[0], t[1], t[target], tanh),
                        Expect = v => v[target] = [.. v[0].Zip(v[1], (x, dY) => dY * ReferenceElementwise.GeluDerivative(x, tanh))],
                        Shift = columns % 2,
                    };
                }
            }
        }
    }

    private static IEnumerable<OperationCase> Sums()
    {
        foreach ((int rows, int columns) in new[] { (1, 1), (3, 7), (2, 64), (5, 172), (2, 20011) })
        {
            string size = $"{rows}x{columns}";
            int shift = columns % 2;
            foreach (int target in new[] { 0, 1, 2 })
            {
                yield return new("Multiply", $"{size}{(target == 2 ? "" : $" into operand {target}")}")
                {
                    Operands =
                    [
                        target == 0 ? Updated32("a", rows, columns) : Input32("a", rows, columns),
                        target == 1 ? Updated32("b", rows, columns) : Input32("b", rows, columns),
                        .. target == 2 ? new[] { Output32("y", rows, columns) } : [],
                    ],
                    Run = (b, t) => b.Multiply(t[0], t[1], t[target]),
                    Expect = v => v[target] = [.. v[0].Zip(v[1], (x, y) => x * y)],
                    Shift = shift,
                };
            }

            foreach (bool single in new[] { false, true })
            {
                yield return new("Axpy", $"{size} {(single ? "Float32" : "storage")}")
                {
                    Operands = single
                        ? [Input32("x", rows, columns), Updated32("y", rows, columns)]
                        : [Input("x", rows, columns), Updated("y", rows, columns)],
                    Run = (b, t) => b.Axpy(-1.7f, t[0], t[1]),
                    Expect = v => v[1] = [.. v[0].Zip(v[1], (x, y) => (-1.7f * x) + y)],
                    Shift = shift,
                };
                yield return new("Scale", $"{size} {(single ? "Float32" : "storage")}")
                {
                    Operands = [single ? Updated32("x", rows, columns) : Updated("x", rows, columns)],
                    Run = (b, t) => b.Scale(t[0], 0.3f),
                    Expect = v => v[0] = Array.ConvertAll(v[0], x => 0.3f * x),
                    Shift = shift,
                };
            }
        }
    }

    private static double[] Shifted(double[] a, double by) => Array.ConvertAll(a, x => x + by);

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];
}
