using BenchmarkDotNet.Attributes;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>
/// The three ends of a weight's gradient over 1,024 rows in examples of a given length: what exact
/// per-example sums cost beside a plain one.
/// </summary>
public class SinksBenchmark
{
    private const int Rows = 1024;
    private const int Outputs = 768;
    private const int Inputs = 768;

    private readonly CpuTensors _cpu = new();
    private Tensor _x, _dY, _sum, _a, _offsets, _result;

    [Params(20, 64, 256)]
    public int ExampleRows { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _x = _cpu.Random(Rows, Inputs);
        _dY = _cpu.Random(Rows, Outputs);
        _sum = _cpu.Random(Outputs, Inputs);
        _a = _cpu.Random(Outputs, Inputs);
        _offsets = _cpu.Offsets(Rows, ExampleRows);
        _result = _cpu.Random(_offsets.Columns - 1, 2);
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    [Benchmark(Baseline = true)]
    public void Accumulate() => _cpu.Backend.Gemm(_dY, true, _x, false, _sum, 1, 1);

    [Benchmark]
    public void SquareAccumulate() => _cpu.Backend.SquareAccumulateMatrix(_x, _dY, _offsets, _sum);

    [Benchmark]
    public void Project() => _cpu.Backend.ProjectMatrix(_x, _dY, _offsets, _sum, _a, _result);
}
