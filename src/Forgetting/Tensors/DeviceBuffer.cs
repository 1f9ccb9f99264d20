namespace Forgetting.Tensors;

/// <summary>A block of a device's memory, aligned to at least 64 bytes and freed on disposal.</summary>
internal sealed class DeviceBuffer : IDisposable
{
    private readonly IMemory _memory;

    /// <summary>Wraps memory that <paramref name="memory"/> has just allocated.</summary>
    public DeviceBuffer(IMemory memory, nint pointer, long bytes)
    {
        _memory = memory;
        Pointer = pointer;
        Bytes = bytes;
    }

    /// <summary>Address of the block; 0 after disposal.</summary>
    public nint Pointer { get; private set; }

    /// <summary>Size of the block.</summary>
    public long Bytes { get; }

    /// <summary>The beginning of the block as a tensor.</summary>
    /// <exception cref="ArgumentException">The tensor does not fit.</exception>
    public Tensor AsTensor(Shape shape, DType dtype)
    {
        var tensor = new Tensor(Pointer, shape, dtype);
        return tensor.Bytes <= Bytes
            ? tensor
            : throw new ArgumentException($"a {shape} {dtype} tensor needs {tensor.Bytes} bytes, the buffer has {Bytes}");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Pointer != 0)
        {
            _memory.Free(this);
            Pointer = 0;
        }
    }
}
