using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>Functions of the driver that the program and its tests call themselves.</summary>
public static class DriverAPINativeMethods
{
    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDriverGetVersion(ref int driverVersion);

    public static class ErrorHandling
    {
        [DllImport(Libraries.Driver)]
        public static extern CUResult cuGetErrorName(CUResult error, ref nint pStr);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuGetErrorString(CUResult error, ref nint pStr);
    }

    public static class ContextManagement
    {
        [DllImport(Libraries.Driver, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
        public static extern CUResult cuDevicePrimaryCtxRelease(CUdevice dev);
    }

    public static class MemoryManagement
    {
        [DllImport(Libraries.Driver)]
        public static extern CUResult cuMemAlloc_v2(ref CUdeviceptr dptr, SizeT bytesize);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuMemFree_v2(CUdeviceptr dptr);
    }

    public static class AsynchronousMemcpy_v2
    {
        [DllImport(Libraries.Driver)]
        public static extern CUResult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, nint srcHost, SizeT ByteCount, CUstream hStream);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuMemcpyDtoHAsync_v2(nint dstHost, CUdeviceptr srcDevice, SizeT ByteCount, CUstream hStream);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuMemcpyDtoDAsync_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, SizeT ByteCount, CUstream hStream);
    }

    public static class Launch
    {
        [DllImport(Libraries.Driver)]
        public static extern CUResult cuLaunchKernel(
            CUfunction f, uint gridDimX, uint gridDimY, uint gridDimZ, uint blockDimX, uint blockDimY, uint blockDimZ, uint sharedMemBytes,
            CUstream hStream, nint[] kernelParams, nint[]? extra);
    }

    public static class Streams
    {
        [DllImport(Libraries.Driver, EntryPoint = "cuStreamBeginCapture_v2")]
        public static extern CUResult cuStreamBeginCapture(CUstream hStream, CUstreamCaptureMode mode);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuStreamEndCapture(CUstream hStream, ref CUgraph phGraph);
    }

    public static class GraphManagment
    {
        [DllImport(Libraries.Driver, EntryPoint = "cuGraphInstantiateWithFlags")]
        public static extern CUResult cuGraphInstantiate(ref CUgraphExec phGraphExec, CUgraph hGraph, CUgraphInstantiate_flags flags);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuGraphExecDestroy(CUgraphExec hGraphExec);

        [DllImport(Libraries.Driver)]
        public static extern CUResult cuGraphDestroy(CUgraph hGraph);
    }
}
