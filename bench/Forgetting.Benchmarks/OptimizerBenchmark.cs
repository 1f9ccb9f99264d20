using BenchmarkDotNet.Attributes;
using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>AdamW and what goes with it over the weights of a model; all of it is bound by memory.</summary>
public class OptimizerBenchmark
{
    private static readonly AdamWSettings s_settings = new(0.9f, 0.999f, 1e-8f, WeightDecay: 0);

    private readonly CpuTensors _cpu = new();
    private Tensor _weights, _gradient, _m, _v, _numbers, _norm;

    /// <summary>Millions of weights: a layer's that stays in the cache, and a small model's.</summary>
    [Params(1, 16)]
    public int Millions { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        int rows = Millions << 10;
        (_weights, _gradient, _m, _v) =
            (_cpu.Random(rows, 1024), _cpu.Random(rows, 1024), _cpu.Random(rows, 1024), _cpu.Random(rows, 1024));
        _cpu.Backend.Multiply(_v, _v, _v);
        _numbers = _cpu.Random(1, AdamWSettings.NumberCount);
        _cpu.Backend.Upload<float>(s_settings.Numbers(learningRate: 1e-4, step: 10, gradientScale: 1), _numbers);
        _norm = _cpu.Random(1, 1);
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    // The gradient is zero from the second call on. The first moment must not fade with it: arithmetic on denormal numbers takes longer.
    [Benchmark]
    public void AdamW() => _cpu.Backend.AdamW(_weights, _weights, _gradient, _m, _v, s_settings with { Beta1 = 1 }, _numbers);

    [Benchmark]
    public void GradientNorm() => _cpu.Backend.SumOfSquares(_gradient, _norm, 0);

    [Benchmark]
    public void ZeroGradient() => _cpu.Backend.Fill(_gradient, 0);
}
