using BenchmarkDotNet.Attributes;
using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>AdamW and what goes with it over the weights of a model; all of it is bound by memory. <c>bench/peers/products.py</c> does the same in PyTorch.</summary>
public class OptimizerBenchmark
{
    private static readonly AdamWStep s_step = new(1e-4f, 0.9f, 0.999f, 1e-8f, WeightDecay: 0, Step: 10, GradientScale: 1);

    private readonly CpuTensors _cpu = new();
    private Tensor _weights, _gradient, _m, _v, _norm;

    /// <summary>Millions of weights: a layer's that stays in the cache, and a small model's.</summary>
    [Params(1, 16)]
    public int Millions { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        int rows = Millions << 10;
        (_weights, _gradient, _m, _v) = (_cpu.Random(rows, 1024), _cpu.Random(rows, 1024), _cpu.Random(rows, 1024), _cpu.Random(rows, 1024));
        _cpu.Backend.Multiply(_v, _v, _v);
        _norm = _cpu.Random(1, 1);
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    [Benchmark]
    public void AdamW() => _cpu.Backend.AdamW(_weights, _weights, _gradient, _m, _v, s_step);

    [Benchmark]
    public void GradientNorm() => _cpu.Backend.SumOfSquares(_gradient, _norm, 0);

    [Benchmark]
    public void ZeroGradient() => _cpu.Backend.Fill(_gradient, 0);
}
