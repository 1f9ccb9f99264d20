using BenchmarkDotNet.Attributes;
using Forgetting.Backends.Cpu;
using Forgetting.Models;

namespace Forgetting.Benchmarks;

/// <summary>Prompts of 32 tokens continued by 64; the peer in <c>bench/peers/torchsharp</c> does the same in PyTorch.</summary>
public class GenerationBenchmark
{
    private readonly CpuBackend _backend = new();
    private GenerateWorkload _workload = null!;

    [Params(1, 16)]
    public int Prompts { get; set; }

    [Params(0, 0.8)]
    public double Temperature { get; set; }

    [GlobalSetup]
    public void Setup() =>
        _workload = new GenerateWorkload(
            _backend, new StepSettings(Batch: Prompts), 32, new GenerationOptions { MaxNewTokens = 64, Temperature = Temperature });

    [GlobalCleanup]
    public void Cleanup()
    {
        _workload.Dispose();
        _backend.Dispose();
    }

    [Benchmark]
    public IReadOnlyList<int[]> Generate() => _workload.Run();
}
