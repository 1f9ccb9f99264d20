using System.Text;
using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>
/// A context of a device. Threads call <see cref="SetCurrent"/> before they use anything in it. The methods here do so themselves.
/// </summary>
/// <remarks>Create a <see cref="PrimaryContext"/>, the one context of a device that all of a process shares.</remarks>
public abstract class CudaContext : IDisposable
{
    private OwnedHandle? _handle;

    private protected CudaContext(int deviceId)
    {
        DeviceId = deviceId;
        Device = GetCUdevice(deviceId);
    }

    /// <summary>Number of the device.</summary>
    public int DeviceId { get; }

    /// <summary>The device.</summary>
    public CUdevice Device { get; }

    /// <summary>The context.</summary>
    public CUcontext Context => new(_handle!.Value);

    /// <summary>Number of CUDA devices.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    /// <exception cref="CudaLibraryException">There is no driver.</exception>
    public static int GetDeviceCount()
    {
        Initialize();
        int count = 0;
        CudaException.Check(DeviceManagement.cuDeviceGetCount(ref count));
        return count;
    }

    /// <summary>Name of a device.</summary>
    /// <exception cref="CudaException">There is no such device.</exception>
    public static string GetDeviceName(int deviceId)
    {
        byte[] name = new byte[256];
        CudaException.Check(DeviceManagement.cuDeviceGetName(name, name.Length, GetCUdevice(deviceId)));
        return Encoding.UTF8.GetString(name, 0, Array.IndexOf(name, (byte)0));
    }

    /// <summary>Properties of a device.</summary>
    /// <exception cref="CudaException">There is no such device.</exception>
    public static CudaDeviceProperties GetDeviceInfo(int deviceId) => new(deviceId, GetCUdevice(deviceId));

    /// <summary>Properties of this context's device.</summary>
    public CudaDeviceProperties GetDeviceInfo() => new(DeviceId, Device);

    /// <summary>Makes the context current on the calling thread.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void SetCurrent() => CudaException.Check(ContextManagement.cuCtxSetCurrent(Context));

    /// <summary>Waits for all work of the context.</summary>
    /// <exception cref="CudaException">Some work failed.</exception>
    public void Synchronize()
    {
        SetCurrent();
        CudaException.Check(ContextManagement.cuCtxSynchronize());
    }

    /// <summary>Bytes of device memory that are free.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public SizeT GetFreeDeviceMemorySize() => MemoryInfo().Free;

    /// <summary>Bytes of device memory.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public SizeT GetTotalDeviceMemorySize() => MemoryInfo().Total;

    /// <summary>Loads a module from a file: fatbin, cubin, PTX, or with the emulation a library of kernels.</summary>
    /// <exception cref="CudaException">No such file, or nothing in it for this device.</exception>
    public CUmodule LoadModule(string modulePath)
    {
        SetCurrent();
        CUmodule module = default;
        CUResult status = ModuleManagement.cuModuleLoad(ref module, modulePath);
        return status == CUResult.Success ? module : throw new CudaException(status, $"cuModuleLoad of {modulePath}");
    }

    /// <summary>Loads a module from memory; PTX must end in a zero byte.</summary>
    /// <exception cref="CudaException">Nothing in it for this device.</exception>
    public CUmodule LoadModulePTX(byte[] moduleImage)
    {
        SetCurrent();
        CUmodule module = default;
        CudaException.Check(ModuleManagement.cuModuleLoadData(ref module, moduleImage));
        return module;
    }

    /// <summary>Unloads a module; its kernels must not be used any more.</summary>
    /// <exception cref="CudaException">Not a module.</exception>
    public void UnloadModule(CUmodule aModule)
    {
        SetCurrent();
        CudaException.Check(ModuleManagement.cuModuleUnload(aModule));
    }

    /// <summary>Gives the context back. What is allocated in it should have been freed.</summary>
    /// <exception cref="CudaException">The emulation found allocations that were not freed.</exception>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the context back.</summary>
    protected virtual void Dispose(bool fDisposing)
    {
        if (fDisposing && _handle is not null)
        {
            OwnedHandle handle = _handle;
            _handle = null;
            handle.Release("cuDevicePrimaryCtxRelease");
        }
    }

    private protected static void Initialize() => CudaException.Check(cuInit(0));

    private protected static CUdevice GetCUdevice(int deviceId)
    {
        Initialize();
        CUdevice device = default;
        CudaException.Check(DeviceManagement.cuDeviceGet(ref device, deviceId));
        return device;
    }

    private protected void Own(CUcontext context, Func<nint, CUResult> release) => _handle = new OwnedHandle(context.Pointer, release);

    private (SizeT Free, SizeT Total) MemoryInfo()
    {
        SetCurrent();
        SizeT free = 0, total = 0;
        CudaException.Check(MemoryManagement.cuMemGetInfo_v2(ref free, ref total));
        return (free, total);
    }
}

/// <summary>The primary context of a device, retained for as long as this object lives.</summary>
public class PrimaryContext : CudaContext
{
    /// <summary>Retains the primary context of device 0, without making it current.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    /// <exception cref="CudaLibraryException">There is no driver.</exception>
    public PrimaryContext()
        : this(0)
    {
    }

    /// <summary>Retains the primary context of a device, without making it current.</summary>
    /// <exception cref="CudaException">There is no such device.</exception>
    /// <exception cref="CudaLibraryException">There is no driver.</exception>
    public PrimaryContext(int deviceId)
        : base(deviceId)
    {
        CUcontext context = default;
        CudaException.Check(ContextManagement.cuDevicePrimaryCtxRetain(ref context, Device));
        CUdevice device = Device;
        Own(context, _ => ContextManagement.cuDevicePrimaryCtxRelease(device));
    }
}
