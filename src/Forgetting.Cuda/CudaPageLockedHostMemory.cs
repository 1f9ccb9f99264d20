using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>An array in page-locked host memory, which asynchronous copies need to be asynchronous.</summary>
/// <typeparam name="T">Element type.</typeparam>
public sealed unsafe class CudaPageLockedHostMemory<T> : IDisposable
    where T : unmanaged
{
    private readonly OwnedHandle _handle;

    /// <summary>Allocates <paramref name="size"/> elements with undefined contents.</summary>
    /// <exception cref="CudaException">Not enough memory.</exception>
    public CudaPageLockedHostMemory(SizeT size)
        : this(size, CUMemHostAllocFlags.None)
    {
    }

    /// <summary>Allocates <paramref name="size"/> elements with undefined contents.</summary>
    /// <exception cref="CudaException">Not enough memory.</exception>
    public CudaPageLockedHostMemory(SizeT size, CUMemHostAllocFlags allocFlags)
    {
        Size = size;
        nint pointer = 0;
        CudaException.Check(MemoryManagement.cuMemHostAlloc(ref pointer, SizeInBytes, allocFlags));
        _handle = new OwnedHandle(pointer, static handle => MemoryManagement.cuMemFreeHost(handle));
    }

    /// <summary>The address.</summary>
    public nint PinnedHostPointer => _handle.Value;

    /// <summary>Number of elements.</summary>
    public SizeT Size { get; }

    /// <summary>Size in bytes.</summary>
    public SizeT SizeInBytes => (ulong)Size * (ulong)sizeof(T);

    /// <summary>An element.</summary>
    public T this[SizeT index]
    {
        get => Elements[(int)index];
        set => Elements[(int)index] = value;
    }

    /// <summary>Copies all of it to device memory, in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyToDevice(CUdeviceptr devicePtr, CUstream stream) =>
        CudaException.Check(AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(devicePtr, PinnedHostPointer, SizeInBytes, stream));

    /// <summary>Overwrites all of it with device memory, in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyFromDevice(CUdeviceptr devicePtr, CUstream stream) =>
        CudaException.Check(AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(PinnedHostPointer, devicePtr, SizeInBytes, stream));

    /// <summary>Frees the memory.</summary>
    public void Dispose() => _handle.Release(nameof(MemoryManagement.cuMemFreeHost));

    private Span<T> Elements => new((void*)PinnedHostPointer, (int)Size);
}
