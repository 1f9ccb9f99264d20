using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using static Forgetting.Operations.Operands;

namespace Forgetting.Operations;

/// <summary>Dense products and biases.</summary>
internal static class DenseCases
{
    private static readonly (int M, int N, int K)[] s_sizes =
    [
        (1, 1, 1), (1, 7, 5), (3, 1, 9), (5, 3, 1), (1, 130, 64), (4, 64, 32), (33, 65, 17), (64, 64, 64), (127, 129, 131), (8, 24, 300),
    ];

    public static IEnumerable<OperationCase> All()
    {
        foreach ((int m, int n, int k) in s_sizes)
        {
            yield return Gemm(m, n, k, transposeA: false, transposeB: true);
            yield return Gemm(m, n, k, transposeA: false, transposeB: false);
            yield return Gemm(m, n, k, transposeA: true, transposeB: false, beta: 1, type: DType.Float32);
            yield return Gemm(m, n, k, transposeA: true, transposeB: true, alpha: 0.5f, beta: -2);
            yield return Gemm(m, n, k, transposeA: false, transposeB: true, alpha: -1.5f, beta: 1);
        }

        yield return Gemm(33, 31, 29, transposeA: false, transposeB: true) with { Shift = 1 };
        yield return Gemm(29, 33, 31, transposeA: true, transposeB: false, beta: 1, type: DType.Float32) with { Shift = 1 };
        yield return Gemm(31, 29, 33, transposeA: false, transposeB: false) with { Shift = 1 };
        yield return Gemm(200, 288, 771, transposeA: false, transposeB: true) with { Large = true };
        yield return Gemm(301, 257, 1500, transposeA: true, transposeB: false, beta: 1, type: DType.Float32) with { Large = true };
        yield return Gemm(5, 50257, 64, transposeA: false, transposeB: true) with { Large = true };
        yield return Gemm(5, 64, 50257, transposeA: false, transposeB: false) with { Large = true };
        yield return Gemm(50257, 36, 5, transposeA: true, transposeB: false, beta: 1, type: DType.Float32) with { Large = true };
        // Chunks without rows: no result, and a sum that keeps what it held.
        yield return Gemm(0, 5, 7, transposeA: false, transposeB: true);
        yield return Gemm(5, 7, 0, transposeA: true, transposeB: false, beta: 1, type: DType.Float32);

        foreach ((int m, int n, int k) in new[] { (1, 1, 1), (3, 5, 7), (1, 64, 64), (33, 65, 17), (5, 24, 300), (64, 72, 128) })
        {
            yield return Quantized(m, n, k, transposeB: true);
            yield return Quantized(m, n, k, transposeB: false);
            yield return Quantized(m, n, k, transposeB: false, beta: 1);
        }

        // More than one slab on the CPU, and 256 scales and more.
        yield return Quantized(3, 1100, 1030, transposeB: true) with { Large = true };
        yield return Quantized(3, 1100, 1030, transposeB: false) with { Large = true };
        foreach ((int rows, int columns) in new[] { (1, 1), (1, 65), (7, 5), (33, 288), (3, 1031) })
        {
            yield return new("AddBias", $"{rows}x{columns}")
            {
                Operands = [Updated("y", rows, columns), Input("bias", 1, columns)],
                Run = (b, t) => b.AddBias(t[0], t[1]),
                Expect = v => v[0] = ReferenceDense.AddBias(v[0], v[1]),
                Shift = rows % 3,
            };
        }
    }

    private static OperationCase Quantized(int m, int n, int k, bool transposeB, float beta = 0) =>
        new("Gemm", $"{m}x{n}x{k} N{(transposeB ? 'T' : 'N')} beta {beta} of NF4")
        {
            Operands =
            [
                Input("a", m, k), (transposeB ? Input("b", n, k) : Input("b", k, n)) with { Type = DType.NormalFloat4 },
                beta == 0 ? Output("c", m, n) : Updated("c", m, n),
            ],
            Run = (b, t) => b.Gemm(t[0], false, t[1], transposeB, t[2], 1, beta),
            Expect = v => v[2] = ReferenceDense.Gemm(v[0], false, v[1], transposeB, v[2], m, n, k, 1, beta),
        };

    private static OperationCase Gemm(
        int m, int n, int k, bool transposeA, bool transposeB, float alpha = 1, float beta = 0, DType? type = null) =>
        new("Gemm", $"{m}x{n}x{k} {(transposeA ? 'T' : 'N')}{(transposeB ? 'T' : 'N')} alpha {alpha} beta {beta}")
        {
            Operands =
            [
                transposeA ? Input("a", k, m) : Input("a", m, k),
                transposeB ? Input("b", n, k) : Input("b", k, n),
                (beta == 0 ? Output("c", m, n) : Updated("c", m, n)) with { Type = type },
            ],
            Run = (b, t) => b.Gemm(t[0], transposeA, t[1], transposeB, t[2], alpha, beta),
            Expect = v => v[2] = ReferenceDense.Gemm(v[0], transposeA, v[1], transposeB, v[2], m, n, k, alpha, beta),
        };
}
