using System.Runtime.InteropServices;
using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>A kernel with the shape of its next launch.</summary>
public sealed unsafe class CudaKernel
{
    private const int MaximumArguments = 64;
    private const int MaximumArgumentBytes = 4096; // what a launch accepts

    private readonly CUfunction _function;

    /// <summary>Takes a kernel from a module. Blocks are 16 × 16 threads and the grid one block until set.</summary>
    /// <exception cref="CudaException">The module has no kernel of this name.</exception>
    public CudaKernel(string kernelName, CUmodule module)
    {
        KernelName = kernelName;
        CUResult status = ModuleManagement.cuModuleGetFunction(ref _function, module, kernelName);
        if (status != CUResult.Success)
            throw new CudaException(status, $"cuModuleGetFunction of {kernelName}");
    }

    /// <summary>Name of the kernel.</summary>
    public string KernelName { get; }

    /// <summary>The driver's kernel.</summary>
    public CUfunction CUFunction => _function;

    /// <summary>Threads of a block.</summary>
    public dim3 BlockDimensions { get; set; } = new(16, 16);

    /// <summary>Blocks of the grid.</summary>
    public dim3 GridDimensions { get; set; } = new(1);

    /// <summary>Bytes of dynamic shared memory.</summary>
    public uint DynamicSharedMemory { get; set; }

    /// <summary>Most threads of a block.</summary>
    public int MaxThreadsPerBlock => GetAttribute(CUFunctionAttribute.MaxThreadsPerBlock);

    /// <summary>Registers of a thread.</summary>
    public int Registers => GetAttribute(CUFunctionAttribute.NumRegs);

    /// <summary>Bytes of local memory of a thread.</summary>
    public int LocalMemory => GetAttribute(CUFunctionAttribute.LocalSizeBytes);

    /// <summary>Bytes of static shared memory.</summary>
    public int SharedMemory => GetAttribute(CUFunctionAttribute.SharedSizeBytes);

    /// <summary>Most bytes of <see cref="DynamicSharedMemory"/>; more than 48 KiB must be asked for here first.</summary>
    /// <exception cref="CudaException">More than the device has.</exception>
    public int MaxDynamicSharedSizeBytes
    {
        get => GetAttribute(CUFunctionAttribute.MaxDynamicSharedSizeBytes);
        set => CudaException.Check(FunctionManagement.cuFuncSetAttribute(_function, CUFunctionAttribute.MaxDynamicSharedSizeBytes, value));
    }

    /// <summary>Launches in the default stream, waits, and returns the milliseconds it took.</summary>
    /// <param name="parameters">As for <see cref="RunAsync(CUstream, object[])"/>.</param>
    /// <exception cref="CudaException">The launch or the kernel failed.</exception>
    public float Run(params object[] parameters)
    {
        using var start = new CudaEvent();
        using var end = new CudaEvent();
        start.Record();
        RunAsync(CUstream.NullStream, parameters);
        end.Record();
        end.Synchronize();
        return CudaEvent.ElapsedTime(start, end);
    }

    /// <summary>Launches in a stream.</summary>
    /// <param name="parameters">The kernel's arguments in order: unmanaged values of exactly the parameters' types, pointers as
    /// <see cref="CUdeviceptr"/>.</param>
    /// <exception cref="ArgumentException">An argument is not an unmanaged value.</exception>
    /// <exception cref="CudaException">The launch failed.</exception>
    public void RunAsync(CUstream stream, params object[] parameters)
    {
        byte* values = stackalloc byte[MaximumArgumentBytes];
        void** addresses = stackalloc void*[MaximumArguments];
        int used = 0;
        for (int i = 0; i < parameters.Length; i++)
        {
            used = (used + 15) & ~15;
            addresses[i] = values + used;
            used += Store(parameters[i], values + used);
        }

        Launch(stream, addresses);
    }

    private static int Store(object value, byte* destination)
    {
        switch (value)
        {
            case CUdeviceptr pointer:
                *(CUdeviceptr*)destination = pointer;
                return sizeof(CUdeviceptr);
            case int or uint or long or ulong or float or double or nint or nuint or short or ushort or byte or sbyte:
                Marshal.StructureToPtr(value, (nint)destination, fDeleteOld: false);
                return Marshal.SizeOf(value);
            default:
                throw new ArgumentException($"a kernel argument cannot be a {value.GetType().Name}");
        }
    }

    private void Launch(CUstream stream, void** addresses)
    {
        CUResult status = DriverAPINativeMethods.Launch.cuLaunchKernel(
            _function, GridDimensions.x, GridDimensions.y, GridDimensions.z, BlockDimensions.x, BlockDimensions.y, BlockDimensions.z,
            DynamicSharedMemory, stream, addresses, null);
        if (status != CUResult.Success)
            throw new CudaException(status, $"cuLaunchKernel of {KernelName}");
    }

    private int GetAttribute(CUFunctionAttribute attribute)
    {
        int value = 0;
        CudaException.Check(FunctionManagement.cuFuncGetAttribute(ref value, attribute, _function));
        return value;
    }
}
