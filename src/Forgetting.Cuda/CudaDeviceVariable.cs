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
    /// <exception cref="CudaException">More than the array holds, or the driver fails.</exception>
    public void CopyToDevice(T[] source)
    {
        fixed (T* pointer = source)
        {
            CudaException.Check(SynchronousMemcpy_v2.cuMemcpyHtoD_v2(DevicePointer, (nint)pointer, (long)source.Length * sizeof(T)));
        }
    }

    /// <summary>Copies another device array over this one, whose size it must not exceed.</summary>
    /// <exception cref="CudaException">More than this array holds, or the driver fails.</exception>
    public void CopyToDevice(CudaDeviceVariable<T> source) =>
        CudaException.Check(SynchronousMemcpy_v2.cuMemcpyDtoD_v2(DevicePointer, source.DevicePointer, source.SizeInBytes));

    /// <summary>Copies the array's beginning to host memory, as much as both hold.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void CopyToHost(T[] dest)
    {
        fixed (T* pointer = dest)
        {
            long count = Math.Min(dest.Length, (long)Size);
            CudaException.Check(SynchronousMemcpy_v2.cuMemcpyDtoH_v2((nint)pointer, DevicePointer, count * sizeof(T)));
        }
    }

    /// <summary>Copies another device array in a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void AsyncCopyToDevice(CudaDeviceVariable<T> source, CUstream stream) =>
        CudaException.Check(AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(DevicePointer, source.DevicePointer, source.SizeInBytes, stream));

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
}
