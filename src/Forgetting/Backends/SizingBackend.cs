using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>
/// A backend without memory: it hands out addresses, counts bytes, and computes nothing; what is read from it is zero. Whatever runs on it asks for just the memory
/// that it would ask for on the device, which is how memory is predicted.
/// </summary>
/// <param name="name">Device that it stands for.</param>
/// <param name="storageType">Element type of activations and weights there.</param>
internal sealed partial class SizingBackend(string name, DType storageType) : IBackend
{
    private const long Alignment = 256;

    private long _next = Alignment; // 0 means "no tensor"

    public string Name => name;

    public DType StorageType => storageType;

    public MemoryUse Use { get; } = new();

    public long TotalBytes => long.MaxValue;

    public DeviceBuffer Allocate(long bytes)
    {
        var buffer = new DeviceBuffer(this, (nint)_next, bytes);
        _next += Math.Max(bytes + Alignment - 1, Alignment) / Alignment * Alignment;
        Use.Add(bytes);
        return buffer;
    }

    public void Free(DeviceBuffer buffer) => Use.Remove(buffer.Bytes);

    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
    }

    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged => destination.Clear();

    public void Copy(Tensor source, Tensor destination)
    {
    }

    public void Fill(Tensor destination, float value)
    {
    }

    public void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull => operations(state);

    public void Synchronize()
    {
    }

    public void Dispose()
    {
    }
}
