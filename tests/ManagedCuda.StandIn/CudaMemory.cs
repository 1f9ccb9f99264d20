using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>An array in device memory.</summary>
public class CudaDeviceVariable<T> : IDisposable
    where T : struct
{
    private readonly CUdeviceptr _pointer;
    private bool _disposed;

    public CudaDeviceVariable(SizeT size)
    {
        Size = size;
        CudaException.Check(DriverAPINativeMethods.MemoryManagement.cuMemAlloc_v2(ref _pointer, SizeInBytes));
    }

    public CUdeviceptr DevicePointer => _pointer;

    public SizeT Size { get; }

    public SizeT SizeInBytes => (long)Size * Unsafe.SizeOf<T>();

    public void CopyToDevice(T[] source)
    {
        var pinned = GCHandle.Alloc(source, GCHandleType.Pinned);
        CUResult result = Functions.cuMemcpyHtoD_v2(_pointer, pinned.AddrOfPinnedObject(), Shorter(source.Length));
        pinned.Free();
        CudaException.Check(result);
    }

    public void CopyToDevice(CudaDeviceVariable<T> source) =>
        CudaException.Check(Functions.cuMemcpyDtoD_v2(_pointer, source._pointer, Shorter(source.Size)));

    public void CopyToHost(T[] dest)
    {
        var pinned = GCHandle.Alloc(dest, GCHandleType.Pinned);
        CUResult result = Functions.cuMemcpyDtoH_v2(pinned.AddrOfPinnedObject(), _pointer, Shorter(dest.Length));
        pinned.Free();
        CudaException.Check(result);
    }

    public void AsyncCopyToDevice(CudaDeviceVariable<T> source, CUstream stream) =>
        CudaException.Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(_pointer, source._pointer, Shorter(source.Size), stream));

    public void Memset(byte aValue) => CudaException.Check(Functions.cuMemsetD8_v2(_pointer, aValue, SizeInBytes));

    public void Memset(uint aValue) =>
        CudaException.Check(Functions.cuMemsetD32_v2(_pointer, aValue, (long)SizeInBytes / sizeof(uint)));

    public void MemsetAsync(byte aValue, CUstream stream) =>
        CudaException.Check(Functions.cuMemsetD8Async(_pointer, aValue, SizeInBytes, stream));

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            DriverAPINativeMethods.MemoryManagement.cuMemFree_v2(_pointer);
        }
    }

    // Bytes of so many elements, or of all where there are fewer.
    private SizeT Shorter(long elements) => System.Math.Min(elements, (long)Size) * Unsafe.SizeOf<T>();
}

/// <summary>An array in page-locked host memory.</summary>
public unsafe class CudaPageLockedHostMemory<T> : IDisposable
    where T : struct
{
    private readonly nint _pointer;
    private bool _disposed;

    public CudaPageLockedHostMemory(SizeT size)
    {
        Size = size;
        CudaException.Check(Functions.cuMemHostAlloc(ref _pointer, SizeInBytes, 0));
    }

    public nint PinnedHostPointer => _pointer;

    public SizeT Size { get; }

    public SizeT SizeInBytes => (long)Size * Unsafe.SizeOf<T>();

    public T this[SizeT index]
    {
        get => new Span<T>((void*)_pointer, Size)[index];
        set => new Span<T>((void*)_pointer, Size)[index] = value;
    }

    public void AsyncCopyToDevice(CUdeviceptr devicePtr, CUstream stream) =>
        CudaException.Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(devicePtr, _pointer, SizeInBytes, stream));

    public void AsyncCopyFromDevice(CUdeviceptr devicePtr, CUstream stream) =>
        CudaException.Check(
            DriverAPINativeMethods.AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(_pointer, devicePtr, SizeInBytes, stream));

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Functions.cuMemFreeHost(_pointer);
        }
    }
}
