using BenchmarkDotNet.Attributes;
using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>Causal attention, forward and backward.</summary>
public class AttentionBenchmark
{
    private readonly CpuTensors _cpu = new();
    private AttentionShape _shape;
    private Tensor _q, _k, _v, _offsets, _o, _logSumExp, _dO, _delta, _dQ, _dK, _dV;

    [ParamsSource(nameof(Shapes))]
    public SequenceShape Shape { get; set; } = null!;

    public static IEnumerable<SequenceShape> Shapes() =>
    [
        new(4, 256, 6, 6, 48),
        new(1, 1024, 12, 12, 64),
        new(1, 1024, 32, 8, 64),
    ];

    [GlobalSetup]
    public void Setup()
    {
        (int sequences, int length, int heads, int kvHeads, int size) = Shape;
        int rows = sequences * length;
        _shape = new AttentionShape(heads, kvHeads, size, 1 / MathF.Sqrt(size));
        _q = _cpu.Random(rows, heads * size);
        _k = _cpu.Random(rows, kvHeads * size);
        _v = _cpu.Random(rows, kvHeads * size);
        _o = _cpu.Random(rows, heads * size);
        _dO = _cpu.Random(rows, heads * size);
        _dQ = _cpu.Random(rows, heads * size);
        _dK = _cpu.Random(rows, kvHeads * size);
        _dV = _cpu.Random(rows, kvHeads * size);
        _logSumExp = _cpu.Random(rows, heads);
        _delta = _cpu.Random(rows, heads);
        _offsets = _cpu.Offsets(rows, length);
        Forward();
    }

    [GlobalCleanup]
    public void Cleanup() => _cpu.Dispose();

    [Benchmark]
    public void Forward() => _cpu.Backend.Attention(_shape, _q, _k, _v, _offsets, _o, _logSumExp);

    [Benchmark]
    public void Backward() =>
        _cpu.Backend.AttentionBackward(_shape, _q, _k, _v, _offsets, _o, _logSumExp, _dO, _delta, _dQ, _dK, _dV);
}

/// <summary>Equal sequences through one attention layer.</summary>
public sealed record SequenceShape(int Sequences, int Length, int Heads, int KeyValueHeads, int HeadSize)
{
    public override string ToString() => $"{Sequences}x{Length} {Heads}/{KeyValueHeads}x{HeadSize}";
}
