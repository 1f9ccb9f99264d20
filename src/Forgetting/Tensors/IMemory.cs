namespace Forgetting.Tensors;

/// <summary>Memory of a device and transfers to and from it.</summary>
internal interface IMemory : IDisposable
{
    /// <summary>What is handed out, and what has been at most.</summary>
    MemoryUse Use { get; }

    /// <summary>Bytes that the device has, in use or not.</summary>
    long TotalBytes { get; }

    /// <summary>A block with undefined contents, aligned to at least 64 bytes.</summary>
    /// <exception cref="DeviceMemoryException">Not enough memory; says what was asked for and what was free.</exception>
    DeviceBuffer Allocate(long bytes);

    /// <summary>Gives a block back; called by <see cref="DeviceBuffer.Dispose"/>.</summary>
    void Free(DeviceBuffer buffer);

    /// <summary>
    /// Copies host data to a tensor whose elements have <typeparamref name="T"/>'s size. The source may be reused at once.
    /// </summary>
    void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged;

    /// <summary>Copies a tensor to host memory and waits for it.</summary>
    void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged;

    /// <summary>
    /// Copies within the device, converting between Float32 and BFloat16 (round to nearest even), or from NormalFloat4 to Float32, where
    /// types differ.
    /// </summary>
    void Copy(Tensor source, Tensor destination);

    /// <summary>Sets every element of a Float32 or BFloat16 tensor.</summary>
    void Fill(Tensor destination, float value);

    /// <summary>Waits for everything launched so far.</summary>
    void Synchronize();
}
