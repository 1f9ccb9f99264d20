using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;
using ManagedCuda.VectorTypes;

namespace ManagedCuda;

/// <summary>A kernel with the shape of its next launch.</summary>
public class CudaKernel
{
    private const int AttributeThreads = 0;
    private const int AttributeDynamicSharedBytes = 8;

    private readonly CUfunction _function;

    public CudaKernel(string kernelName, CUmodule module)
    {
        KernelName = kernelName;
        CudaException.Check(Functions.cuModuleGetFunction(ref _function, module, kernelName));
    }

    public string KernelName { get; }

    public CUfunction CUFunction => _function;

    public dim3 BlockDimensions { get; set; } = new(16, 16, 1);

    public dim3 GridDimensions { get; set; } = new(1);

    public uint DynamicSharedMemory { get; set; }

    public int MaxThreadsPerBlock => Attribute(AttributeThreads);

    public int MaxDynamicSharedSizeBytes
    {
        get => Attribute(AttributeDynamicSharedBytes);
        set => CudaException.Check(Functions.cuFuncSetAttribute(_function, AttributeDynamicSharedBytes, value));
    }

    public virtual float Run(params object[] parameters)
    {
        using CudaEvent start = new(), end = new();
        start.Record();
        RunAsync(CUstream.NullStream, parameters);
        end.Record();
        end.Synchronize();
        return CudaEvent.ElapsedTime(start, end);
    }

    public virtual void RunAsync(CUstream stream, params object[] parameters)
    {
        GCHandle[] values = Array.ConvertAll(parameters, parameter => GCHandle.Alloc(parameter, GCHandleType.Pinned));
        CUResult result = DriverAPINativeMethods.Launch.cuLaunchKernel(
            _function, GridDimensions.x, GridDimensions.y, GridDimensions.z, BlockDimensions.x, BlockDimensions.y, BlockDimensions.z,
            DynamicSharedMemory, stream, Array.ConvertAll(values, value => value.AddrOfPinnedObject()), null);
        Array.ForEach(values, value => value.Free());
        CudaException.Check(result);
    }

    private int Attribute(int attribute)
    {
        int value = 0;
        CudaException.Check(Functions.cuFuncGetAttribute(ref value, attribute, _function));
        return value;
    }
}
