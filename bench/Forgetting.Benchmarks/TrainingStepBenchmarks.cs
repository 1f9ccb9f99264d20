using BenchmarkDotNet.Attributes;
using Forgetting.Backends.Cpu;

namespace Forgetting.Benchmarks;

/// <summary>A whole step, forward, backward and AdamW; the peer in <c>bench/peers/torchsharp</c> does the same in PyTorch.</summary>
public class TrainingStepBenchmarks
{
    private readonly CpuBackend _backend = new();
    private StepWorkload _workload = null!;

    [ParamsSource(nameof(Shapes))]
    public StepSettings Shape { get; set; } = null!;

    public static IEnumerable<StepSettings> Shapes() => [new(), new(LoraRank: 64)];

    [GlobalSetup]
    public void Setup() => _workload = new StepWorkload(_backend, Shape);

    [GlobalCleanup]
    public void Cleanup()
    {
        _workload.Dispose();
        _backend.Dispose();
    }

    [Benchmark]
    public double Step() => _workload.Run();
}
