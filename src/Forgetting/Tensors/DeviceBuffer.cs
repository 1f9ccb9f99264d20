using Forgetting.Backends;

namespace Forgetting.Tensors;

/// <summary>A block of a backend's memory, aligned to at least 64 bytes and freed on disposal.</summary>
internal sealed class DeviceBuffer : IDisposable
{
    private readonly IBackend _backend;

    /// <summary>Wraps memory that <paramref name="backend"/> has just allocated.</summary>
    public DeviceBuffer(IBackend backend, nint pointer, long bytes)
    {
        _backend = backend;
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
            _backend.Free(this);
            Pointer = 0;
        }
    }
}
