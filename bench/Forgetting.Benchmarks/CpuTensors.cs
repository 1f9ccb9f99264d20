using Forgetting.Backends.Cpu;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>A CPU backend and tensors on it, freed together.</summary>
internal sealed class CpuTensors : IDisposable
{
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly Random _random = new(1);

    public CpuBackend Backend { get; } = new();

    /// <summary>Numbers in ±½.</summary>
    public Tensor Random(int rows, int columns)
    {
        Tensor tensor = New(rows, columns, DType.Float32);
        foreach (ref float value in tensor.AsSpan<float>())
            value = _random.NextSingle() - 0.5f;

        return tensor;
    }

    public Tensor Integers(IEnumerable<int> values)
    {
        int[] array = [.. values];
        Tensor tensor = New(1, array.Length, DType.Int32);
        Backend.Upload<int>(array, tensor);
        return tensor;
    }

    /// <summary>Offsets of sequences of equal length.</summary>
    public Tensor Offsets(int rows, int length) =>
        Integers(Enumerable.Range(0, (rows + length - 1) / length).Select(i => i * length).Append(rows));

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers)
            buffer.Dispose();

        Backend.Dispose();
    }

    private Tensor New(int rows, int columns, DType type)
    {
        var shape = new Shape(rows, columns);
        DeviceBuffer buffer = Backend.Allocate(shape.Count * type.Size());
        _buffers.Add(buffer);
        return buffer.AsTensor(shape, type);
    }
}
