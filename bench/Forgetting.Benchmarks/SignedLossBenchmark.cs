using BenchmarkDotNet.Attributes;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>Loss and gradient of a chunk of logits.</summary>
public class SignedLossBenchmark
{
    private const int Rows = 128;

    private readonly CpuTensors _cpu = new();
    private Tensor _logits, _targets, _weights, _losses;

    [Params(32000, 128256)]
    public int Vocabulary { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _logits = _cpu.Random(Rows, Vocabulary);
        _targets = _cpu.Integers(Enumerable.Range(0, Rows).Select(i => i * 7));
        _weights = _cpu.Random(1, Rows);
        _losses = _cpu.Random(1, Rows);
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    [Benchmark]
    public void Losses() => _cpu.Backend.SignedLoss(_logits, _targets, default, default, default, _losses, default);

    // In place: from the second time on the logits are gradients, which costs the same.
    [Benchmark]
    public void LossesAndGradient() => _cpu.Backend.SignedLoss(_logits, _targets, _weights, default, default, _losses, default);
}
