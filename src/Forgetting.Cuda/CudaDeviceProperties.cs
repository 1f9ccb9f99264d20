using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>Properties of a device.</summary>
public sealed class CudaDeviceProperties
{
    private readonly CUdevice _device;

    internal CudaDeviceProperties(int deviceId, CUdevice device)
    {
        _device = device;
        DeviceName = CudaContext.GetDeviceName(deviceId);
        SizeT bytes = 0;
        CudaException.Check(DeviceManagement.cuDeviceTotalMem_v2(ref bytes, device));
        TotalGlobalMemory = bytes;
        int version = 0;
        CudaException.Check(cuDriverGetVersion(ref version));
        DriverVersion = new Version(version / 1000, version % 1000 / 10);
        ComputeCapability =
            new Version(Attribute(CUDeviceAttribute.ComputeCapabilityMajor), Attribute(CUDeviceAttribute.ComputeCapabilityMinor));
    }

    /// <summary>Name of the device.</summary>
    public string DeviceName { get; }

    /// <summary>Compute capability, such as 9.0.</summary>
    public Version ComputeCapability { get; }

    /// <summary>Version of the driver's CUDA.</summary>
    public Version DriverVersion { get; }

    /// <summary>Device memory in bytes.</summary>
    public SizeT TotalGlobalMemory { get; }

    /// <summary>Number of multiprocessors.</summary>
    public int MultiProcessorCount => Attribute(CUDeviceAttribute.MultiProcessorCount);

    /// <summary>Most threads of a block.</summary>
    public int MaxThreadsPerBlock => Attribute(CUDeviceAttribute.MaxThreadsPerBlock);

    /// <summary>Most threads of a multiprocessor.</summary>
    public int MaxThreadsPerMultiProcessor => Attribute(CUDeviceAttribute.MaxThreadsPerMultiProcessor);

    /// <summary>Bytes of shared memory a block has without asking for more.</summary>
    public int SharedMemoryPerBlock => Attribute(CUDeviceAttribute.MaxSharedMemoryPerBlock);

    /// <summary>Bytes of shared memory a block can ask for.</summary>
    public int MaxSharedMemoryPerBlockOptin => Attribute(CUDeviceAttribute.MaxSharedMemoryPerBlockOptin);

    /// <summary>Bytes of second-level cache.</summary>
    public int L2CacheSize => Attribute(CUDeviceAttribute.L2CacheSize);

    /// <summary>Clock of the multiprocessors in kHz.</summary>
    public int ClockRate => Attribute(CUDeviceAttribute.ClockRate);

    /// <summary>Clock of the memory in kHz.</summary>
    public int MemoryClockRate => Attribute(CUDeviceAttribute.MemoryClockRate);

    /// <summary>Width of the memory bus in bits.</summary>
    public int GlobalMemoryBusWidth => Attribute(CUDeviceAttribute.GlobalMemoryBusWidth);

    private int Attribute(CUDeviceAttribute attribute)
    {
        int value = 0;
        CUResult status = DeviceManagement.cuDeviceGetAttribute(ref value, attribute, _device);
        return status == CUResult.Success ? value : throw new CudaException(status, $"cuDeviceGetAttribute({attribute})");
    }
}
