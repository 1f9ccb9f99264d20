using BenchmarkDotNet.Attributes;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>Dense products of small transformers.</summary>
public class MatMulBenchmark
{
    private readonly CpuTensors _cpu = new();
    private Tensor _a;
    private Tensor _b;
    private Tensor _c;

    [ParamsSource(nameof(Shapes))]
    public ProductShape Shape { get; set; } = null!;

    public static IEnumerable<ProductShape> Shapes() =>
    [
        new(1024, 288, 768, false, true),
        new(1024, 1024, 1024, false, true),
        new(256, 768, 3072, false, true),
        new(1024, 288, 32000, false, true),

        // The input gradient and the weight gradient of the first and the last.
        new(1024, 768, 288, false, false),
        new(768, 1024, 288, true, false),
        new(1024, 32000, 288, false, false),
        new(32000, 1024, 288, true, false),

        // LoRA's two factors, and decoding.
        new(1024, 288, 16, false, true),
        new(1024, 16, 288, false, true),
        new(1, 2048, 8192, false, true),
        new(16, 2048, 8192, false, true),
    ];

    [GlobalSetup]
    public void Setup()
    {
        (int m, int k, int n, bool ta, bool tb) = Shape;
        _a = ta ? _cpu.Random(k, m) : _cpu.Random(m, k);
        _b = tb ? _cpu.Random(n, k) : _cpu.Random(k, n);
        _c = _cpu.Random(m, n);
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    [Benchmark]
    public void Gemm() => _cpu.Backend.Gemm(_a, Shape.TransposeA, _b, Shape.TransposeB, _c);
}

/// <summary>C [M, N] = op(A)·op(B); 2·M·K·N operations.</summary>
public sealed record ProductShape(int M, int K, int N, bool TransposeA, bool TransposeB)
{
    public override string ToString() => $"{M}x{K}x{N} {(TransposeA ? 'T' : 'N')}{(TransposeB ? 'T' : 'N')}";
}
