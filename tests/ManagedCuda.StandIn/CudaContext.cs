using System.Text;
using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>A context; only <see cref="SetCurrent"/> makes it current.</summary>
public class CudaContext : IDisposable
{
    private readonly CUcontext _context;
    private readonly CUdevice _device;
    private bool _disposed;

    internal CudaContext(int deviceId)
    {
        _device = DeviceOf(deviceId);
        CudaException.Check(Functions.cuDevicePrimaryCtxRetain(ref _context, _device));
    }

    public static int GetDeviceCount()
    {
        CudaException.Check(Functions.cuInit(0));
        int count = 0;
        CudaException.Check(Functions.cuDeviceGetCount(ref count));
        return count;
    }

    public static string GetDeviceName(int deviceID)
    {
        byte[] name = new byte[256];
        CudaException.Check(Functions.cuDeviceGetName(name, name.Length, DeviceOf(deviceID)));
        return Encoding.ASCII.GetString(name).TrimEnd('\0');
    }

    public CudaDeviceProperties GetDeviceInfo()
    {
        SizeT bytes = 0;
        CudaException.Check(Functions.cuDeviceTotalMem_v2(ref bytes, _device));
        return new()
        {
            DeviceName = GetDeviceName(_device.Pointer),
            TotalGlobalMemory = bytes,
            MaxThreadsPerBlock = Attribute(1),
            MultiProcessorCount = Attribute(16),
            ComputeCapability = new Version(Attribute(75), Attribute(76)),
        };
    }

    public void SetCurrent() => CudaException.Check(Functions.cuCtxSetCurrent(_context));

    public void Synchronize() => CudaException.Check(Functions.cuCtxSynchronize());

    public SizeT GetFreeDeviceMemorySize() => Memory().Free;

    public SizeT GetTotalDeviceMemorySize() => Memory().Total;

    public CUmodule LoadModule(string modulePath)
    {
        CUmodule module = default;
        CudaException.Check(Functions.cuModuleLoad(ref module, modulePath));
        return module;
    }

    public CUmodule LoadModulePTX(byte[] moduleImage)
    {
        CUmodule module = default;
        CudaException.Check(Functions.cuModuleLoadDataEx(ref module, moduleImage, 0, 0, 0));
        return module;
    }

    public void UnloadModule(CUmodule aModule) => CudaException.Check(Functions.cuModuleUnload(aModule));

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            DriverAPINativeMethods.ContextManagement.cuDevicePrimaryCtxRelease(_device);
        }
    }

    private static CUdevice DeviceOf(int ordinal)
    {
        int count = GetDeviceCount();
        if (ordinal < 0 || ordinal >= count)
            throw new ArgumentOutOfRangeException(nameof(ordinal), ordinal, $"there are {count} devices");

        CUdevice device = default;
        CudaException.Check(Functions.cuDeviceGet(ref device, ordinal));
        return device;
    }

    private static (SizeT Free, SizeT Total) Memory()
    {
        SizeT free = 0, total = 0;
        CudaException.Check(Functions.cuMemGetInfo_v2(ref free, ref total));
        return (free, total);
    }

    private int Attribute(int attribute)
    {
        int value = 0;
        CudaException.Check(Functions.cuDeviceGetAttribute(ref value, attribute, _device));
        return value;
    }
}

/// <summary>The primary context of a device.</summary>
public class PrimaryContext : CudaContext
{
    public PrimaryContext()
        : this(0)
    {
    }

    public PrimaryContext(int deviceId)
        : base(deviceId)
    {
    }
}

/// <summary>Properties of a device.</summary>
public class CudaDeviceProperties
{
    internal CudaDeviceProperties()
    {
    }

    public string DeviceName { get; internal init; } = "";

    public Version ComputeCapability { get; internal init; } = new();

    public SizeT TotalGlobalMemory { get; internal init; }

    public int MultiProcessorCount { get; internal init; }

    public int MaxThreadsPerBlock { get; internal init; }
}
