using Forgetting.Tensors;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Copies, conversions and fills; uploads and downloads are part of every case.</summary>
internal static class MemoryCases
{
    // Ties in both directions, a carry into the exponent, subnormals, overflow by rounding, infinities and zeros of both signs.
    private static readonly double[] s_awkward =
    [
        0, -0.0, 1, -1, 1 + (1 / 256.0), 1 + (3 / 256.0), 1 + (1 / 256.0) + (1 / 65536.0), 1 - (1 / 1024.0), 2 - (1 / 256.0),
        float.MaxValue, float.MinValue, float.Epsilon, -1e-39, 1e-40, double.PositiveInfinity, double.NegativeInfinity, 3.14159265,
        -2.5e-30,
    ];

    public static IEnumerable<OperationCase> All()
    {
        foreach ((DType from, DType to) in new[]
        {
            (DType.Float32, DType.Float32), (DType.Float32, DType.BFloat16), (DType.BFloat16, DType.Float32),
            (DType.BFloat16, DType.BFloat16),
        })
        {
            foreach (int count in new[] { 1, 18, 64, 1003 })
            {
                yield return new("Copy", $"{from} to {to} {count}")
                {
                    Operands =
                    [
                        Input("source", 1, count, count == s_awkward.Length ? Given(s_awkward) : null) with { Type = from },
                        (Output("destination", 1, count) with { Type = to }).Exact(),
                    ],
                    Run = (b, t) => b.Copy(t[0], t[1]),
                    Expect = v => v[1] = Array.ConvertAll(v[0], value => OperationRunner.Stored(value, to)),
                    Shift = count == 1003 ? 1 : 0,
                };
            }
        }

        foreach (int count in new[] { 1, 65, 1003, 17000 })
        {
            yield return new("Copy", $"{DType.NormalFloat4} to {DType.Float32} {count}")
            {
                Operands = [Input("source", 1, count) with { Type = DType.NormalFloat4 }, Output32("destination", 1, count)],
                Run = (b, t) => b.Copy(t[0], t[1]),
                Expect = v => v[1] = v[0],
            };
        }

        foreach (DType type in new[] { DType.Float32, DType.BFloat16 })
        {
            foreach ((int rows, int columns, float value) in new[] { (1, 1, 0f), (3, 7, -1.5f), (2, 64, 0.1f), (5, 1001, 1f / 3) })
            {
                yield return new("Fill", $"{type} {rows}x{columns} with {value}")
                {
                    Operands = [(Output("destination", rows, columns) with { Type = type }).Exact()],
                    Run = (b, t) => b.Fill(t[0], value),
                    Expect = v => v[0] = Array.ConvertAll(v[0], _ => OperationRunner.Stored(value, type)),
                    Shift = rows % 2,
                };
            }
        }
    }
}
