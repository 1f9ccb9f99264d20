using BenchmarkDotNet.Attributes;
using Forgetting.Backends.Cpu;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>Scoring with two models; the peer in <c>bench/peers/torchsharp</c> does the same in PyTorch.</summary>
public class ScoringBenchmark
{
    private readonly CpuBackend _backend = new();
    private ScoreWorkload _workload = null!;

    [Params(100)]
    public int Examples { get; set; }

    [GlobalSetup]
    public void Setup() =>
        _workload =
            new ScoreWorkload(_backend, new StepSettings(), new ScoreSettings(Examples), new TrainingOptions().Compute.MicroBatchTokens);

    [GlobalCleanup]
    public void Cleanup()
    {
        _workload.Dispose();
        _backend.Dispose();
    }

    [Benchmark]
    public object Score() => _workload.Run();
}
