using System.Runtime.InteropServices;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>
/// Plain host memory in either element type, with parameters in it; what loading and saving need of a backend and no more.
/// </summary>
internal sealed unsafe class HostMemory : IMemory
{
    private readonly List<nint> _blocks = [];

    /// <summary>Most elements that came in one piece.</summary>
    public long LargestTransfer { get; private set; }

    public MemoryUse Use { get; } = new();

    public long TotalBytes => throw new NotSupportedException();

    public Parameter Add(string name, ParameterKind kind, Shape shape, DType type, bool master = false)
    {
        var parameter = new Parameter(name, kind, shape) { Value = New(shape, type) };
        if (master)
        {
            parameter.Trainable = true;
            parameter.Master = type == DType.Float32 ? parameter.Value : New(shape, DType.Float32);
        }

        return parameter;
    }

    public Tensor New(Shape shape, DType type)
    {
        var tensor = new Tensor((nint)NativeMemory.AllocZeroed((nuint)Math.Max(1, shape.Count * type.Size())), shape, type);
        _blocks.Add(tensor.Pointer);
        return tensor;
    }

    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
        LargestTransfer = Math.Max(LargestTransfer, source.Length);
        Assert.Equal(destination.Count, source.Length);
        source.CopyTo(destination.AsSpan<T>());
    }

    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged
    {
        LargestTransfer = Math.Max(LargestTransfer, destination.Length);
        Assert.Equal(source.Count, destination.Length);
        source.AsSpan<T>().CopyTo(destination);
    }

    public DeviceBuffer Allocate(long bytes) => throw new NotSupportedException();

    public void Free(DeviceBuffer buffer) => throw new NotSupportedException();

    public void Copy(Tensor source, Tensor destination) => throw new NotSupportedException();

    public void Fill(Tensor destination, float value) => throw new NotSupportedException();

    public void Synchronize()
    {
    }

    public void Dispose()
    {
        foreach (nint block in _blocks)
        {
            NativeMemory.Free((void*)block);
        }
    }
}
