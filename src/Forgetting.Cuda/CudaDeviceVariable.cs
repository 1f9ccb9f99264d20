using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>An array in device memory.</summary>
/// <typeparam name="T">Element type.</typeparam>
public sealed unsafe class CudaDeviceVariable<T> : IDisposable
    where T : unmanaged
{
    private readonly OwnedHandle _handle;

    /// <summary>Allocates <paramref name="size"/> elements with undefined contents.</summary>
    /// <exception cref="CudaException">Not enough memory.</exception>
    public CudaDeviceVariable(SizeT size)
    {
        Size = size;
        CUdeviceptr pointer = default;
        CUResult status = MemoryManagement.cuMemAlloc_v2(ref pointer, SizeInBytes);
        if (status != CUResult.Success)
            throw new CudaException(status, $"cuMemAlloc of {SizeInBytes} bytes");

        _handle = new OwnedHandle(
            (nint)pointer.Pointer.Value, static handle => MemoryManagement.cuMemFree_v2(new CUdeviceptr(new SizeT((nuint)handle))));
    }

    /// <summary>The address.</summary>
    public CUdeviceptr DevicePointer => new(new SizeT((nuint)_handle.Value));

    /// <summary>Number of elements.</summary>
    public SizeT Size { get; }

    /// <summary>Size in bytes.</summary>
    public SizeT SizeInBytes => (ulong)Size * (ulong)sizeof(T);

    /// <summary>Copies host elements to the array's beginning.</summary>
    /// <exception cref="ArgumentException">More than the array holds.</exception>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void CopyToDevice(ReadOnlySpan<T> source)
    {
        fixed (T* pointer = source)
        {
            CudaException.Check(SynchronousMemcpy_v2.cuMemcpyHtoD_v2(DevicePointer, (nint)pointer, Bytes(source.Length)));
        }
    }

    /// <inheritdoc cref="CopyToDevice(ReadOnlySpan{T})"/>
    public void CopyToDevice(T[] source) => CopyToDevice(source.AsSpan());

    /// <summary>Copies another device array over this one, whose size it must not exceed.</summary>
    /// <exception cref="ArgumentException">More than this array holds.</exception>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void CopyToDevice(CudaDeviceVariable<T> source) =>
        CudaException.Check(SynchronousMemcpy_v2.cuMemcpyDtoD_v2(DevicePointer, source.DevicePointer, Bytes(source.Size)));

    /// <summary>Copies the array's beginning to host memory.</summary>
    /// <exception cref="ArgumentException">More than the array holds.</exception>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void CopyToHost(Span<T> dest)
    {
        fixed (T* pointer = dest)
        {
            CudaException.Check(SynchronousMemcpy_v2.cuMemcpyDtoH_v2((nint)pointer, DevicePointer, Bytes(dest.Length)));
        }
    }

    /// <inheritdoc cref="CopyToHost(Span{T})"/>
    public void CopyToHost(T[] dest) => CopyToHost(dest.AsSpan());

    /// <summary>Copies page-locked host memory, of this array's size, in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyToDevice(CudaPageLockedHostMemory<T> source, CUstream stream) =>
        CudaException.Check(
            AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(DevicePointer, source.PinnedHostPointer, Bytes(source.Size), stream));

    /// <summary>Copies to page-locked host memory, of this array's size, in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyToHost(CudaPageLockedHostMemory<T> dest, CUstream stream) =>
        CudaException.Check(AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(dest.PinnedHostPointer, DevicePointer, Bytes(dest.Size), stream));

    /// <summary>Copies another device array in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyToDevice(CudaDeviceVariable<T> source, CUstream stream) =>
        CudaException.Check(AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(DevicePointer, source.DevicePointer, Bytes(source.Size), stream));

    /// <summary>Sets every byte.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void Memset(byte aValue) => CudaException.Check(DriverAPINativeMethods.Memset.cuMemsetD8_v2(DevicePointer, aValue, SizeInBytes));

    /// <summary>Sets every 32-bit word.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void Memset(uint aValue) =>
        CudaException.Check(DriverAPINativeMethods.Memset.cuMemsetD32_v2(DevicePointer, aValue, (ulong)SizeInBytes / sizeof(uint)));

    /// <summary>Sets every byte, in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void MemsetAsync(byte aValue, CUstream stream) =>
        CudaException.Check(DriverAPINativeMethods.MemsetAsync.cuMemsetD8Async(DevicePointer, aValue, SizeInBytes, stream));

    /// <summary>Frees the memory.</summary>
    public void Dispose() => _handle.Release(nameof(MemoryManagement.cuMemFree_v2));

    private SizeT Bytes(long elements) => elements <= Size
        ? (SizeT)(elements * sizeof(T))
        : throw new ArgumentException($"a copy of {elements} elements does not fit the {Size} elements in device memory");
}
