using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

// The functions keep the names of cuda.h, and the groups those of ManagedCuda.
#pragma warning disable CA1707, CA1711, CA1034, CA1401, IDE1006

/// <summary>The driver API itself, grouped as in ManagedCuda. Every function returns its status; nothing is checked here.</summary>
public static unsafe partial class DriverAPINativeMethods
{
    /// <summary>Initialises the driver; flags are 0.</summary>
    [LibraryImport(CudaLibrary.Driver)]
    public static partial CUResult cuInit(uint flags);

    /// <summary>Version of the driver's CUDA: 1000·major + 10·minor.</summary>
    [LibraryImport(CudaLibrary.Driver)]
    public static partial CUResult cuDriverGetVersion(ref int driverVersion);

    /// <summary>What a status means.</summary>
    public static partial class ErrorHandling
    {
        /// <summary>Name of a status, as a pointer to UTF-8.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuGetErrorName(CUResult error, ref nint pStr);

        /// <summary>Text of a status, as a pointer to UTF-8.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuGetErrorString(CUResult error, ref nint pStr);
    }

    /// <summary>Devices.</summary>
    public static partial class DeviceManagement
    {
        /// <summary>Number of devices.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDeviceGetCount(ref int count);

        /// <summary>A device by its number.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDeviceGet(ref CUdevice device, int ordinal);

        /// <summary>Name of a device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDeviceGetName(byte[] name, int len, CUdevice dev);

        /// <summary>Memory of a device in bytes.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDeviceTotalMem_v2(ref SizeT bytes, CUdevice dev);

        /// <summary>An attribute of a device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDeviceGetAttribute(ref int pi, CUDeviceAttribute attrib, CUdevice dev);
    }

    /// <summary>Contexts.</summary>
    public static partial class ContextManagement
    {
        /// <summary>Retains a device's primary context.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuDevicePrimaryCtxRetain(ref CUcontext pctx, CUdevice dev);

        /// <summary>Releases a device's primary context.</summary>
        [LibraryImport(CudaLibrary.Driver, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
        public static partial CUResult cuDevicePrimaryCtxRelease(CUdevice dev);

        /// <summary>Makes a context current on the calling thread.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuCtxSetCurrent(CUcontext ctx);

        /// <summary>The context current on the calling thread.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuCtxGetCurrent(ref CUcontext pctx);

        /// <summary>Waits for all work of the current context.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuCtxSynchronize();
    }

    /// <summary>Modules.</summary>
    public static partial class ModuleManagement
    {
        /// <summary>Loads a module from a file.</summary>
        [LibraryImport(CudaLibrary.Driver, StringMarshalling = StringMarshalling.Utf8)]
        public static partial CUResult cuModuleLoad(ref CUmodule module, string fname);

        /// <summary>Loads a module (fatbin, cubin or zero-terminated PTX) from memory.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuModuleLoadData(ref CUmodule module, byte[] image);

        /// <summary>Unloads a module.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuModuleUnload(CUmodule hmod);

        /// <summary>A kernel by its name.</summary>
        [LibraryImport(CudaLibrary.Driver, StringMarshalling = StringMarshalling.Utf8)]
        public static partial CUResult cuModuleGetFunction(ref CUfunction hfunc, CUmodule hmod, string name);
    }

    /// <summary>Kernels.</summary>
    public static partial class FunctionManagement
    {
        /// <summary>An attribute of a kernel.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuFuncGetAttribute(ref int pi, CUFunctionAttribute attrib, CUfunction hfunc);

        /// <summary>Sets an attribute of a kernel.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuFuncSetAttribute(CUfunction hfunc, CUFunctionAttribute attrib, int value);
    }

    /// <summary>Memory.</summary>
    public static partial class MemoryManagement
    {
        /// <summary>Free and total bytes.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemGetInfo_v2(ref SizeT free, ref SizeT total);

        /// <summary>Allocates device memory, aligned to at least 256 bytes.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemAlloc_v2(ref CUdeviceptr dptr, SizeT bytesize);

        /// <summary>Frees device memory.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemFree_v2(CUdeviceptr dptr);

        /// <summary>Allocates page-locked host memory.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemHostAlloc(ref nint pp, SizeT bytesize, CUMemHostAllocFlags flags);

        /// <summary>Frees page-locked host memory.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemFreeHost(nint p);
    }

    /// <summary>Copies that have happened when they return.</summary>
    public static partial class SynchronousMemcpy_v2
    {
        /// <summary>Host to device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyHtoD_v2(CUdeviceptr dstDevice, nint srcHost, SizeT byteCount);

        /// <summary>Device to host.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyDtoH_v2(nint dstHost, CUdeviceptr srcDevice, SizeT byteCount);

        /// <summary>Device to device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyDtoD_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, SizeT byteCount);
    }

    /// <summary>Copies in a stream.</summary>
    public static partial class AsynchronousMemcpy_v2
    {
        /// <summary>Host to device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyHtoDAsync_v2(CUdeviceptr dstDevice, nint srcHost, SizeT byteCount, CUstream hStream);

        /// <summary>Device to host.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyDtoHAsync_v2(nint dstHost, CUdeviceptr srcDevice, SizeT byteCount, CUstream hStream);

        /// <summary>Device to device.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemcpyDtoDAsync_v2(
            CUdeviceptr dstDevice, CUdeviceptr srcDevice, SizeT byteCount, CUstream hStream);
    }

    /// <summary>Fills.</summary>
    public static partial class Memset
    {
        /// <summary>Bytes.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD8_v2(CUdeviceptr dstDevice, byte b, SizeT n);

        /// <summary>16-bit words.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD16_v2(CUdeviceptr dstDevice, ushort us, SizeT n);

        /// <summary>32-bit words.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD32_v2(CUdeviceptr dstDevice, uint ui, SizeT n);
    }

    /// <summary>Fills in a stream.</summary>
    public static partial class MemsetAsync
    {
        /// <summary>Bytes.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD8Async(CUdeviceptr dstDevice, byte b, SizeT n, CUstream hStream);

        /// <summary>16-bit words.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD16Async(CUdeviceptr dstDevice, ushort us, SizeT n, CUstream hStream);

        /// <summary>32-bit words.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuMemsetD32Async(CUdeviceptr dstDevice, uint ui, SizeT n, CUstream hStream);
    }

    /// <summary>Launches.</summary>
    public static partial class Launch
    {
        /// <summary>Launches a kernel; <paramref name="kernelParams"/> holds the address of each argument.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuLaunchKernel(
            CUfunction f, uint gridDimX, uint gridDimY, uint gridDimZ, uint blockDimX, uint blockDimY, uint blockDimZ, uint sharedMemBytes,
            CUstream hStream, nint[] kernelParams, nint[]? extra);

        /// <summary>The same with the addresses in unmanaged memory or on the stack.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        internal static partial CUResult cuLaunchKernel(
            CUfunction f, uint gridDimX, uint gridDimY, uint gridDimZ, uint blockDimX, uint blockDimY, uint blockDimZ, uint sharedMemBytes,
            CUstream hStream, void** kernelParams, void** extra);
    }

    /// <summary>Streams.</summary>
    public static partial class Streams
    {
        /// <summary>Creates a stream.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamCreate(ref CUstream phStream, CUStreamFlags flags);

        /// <summary>Destroys a stream.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamDestroy_v2(CUstream hStream);

        /// <summary>Waits for a stream's work.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamSynchronize(CUstream hStream);

        /// <summary>Whether a stream's work is done.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamQuery(CUstream hStream);

        /// <summary>Makes a stream wait for an event; flags are 0.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, uint flags);

        /// <summary>Begins to capture a stream's work as a graph.</summary>
        [LibraryImport(CudaLibrary.Driver, EntryPoint = "cuStreamBeginCapture_v2")]
        public static partial CUResult cuStreamBeginCapture(CUstream hStream, CUstreamCaptureMode mode);

        /// <summary>Ends a capture.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamEndCapture(CUstream hStream, ref CUgraph phGraph);

        /// <summary>Whether a stream is capturing.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuStreamIsCapturing(CUstream hStream, ref CUstreamCaptureStatus captureStatus);
    }

    /// <summary>Events.</summary>
    public static partial class Events
    {
        /// <summary>Creates an event.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventCreate(ref CUevent phEvent, CUEventFlags flags);

        /// <summary>Destroys an event.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventDestroy_v2(CUevent hEvent);

        /// <summary>Records an event in a stream.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventRecord(CUevent hEvent, CUstream hStream);

        /// <summary>Waits for an event.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventSynchronize(CUevent hEvent);

        /// <summary>Whether an event has happened.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventQuery(CUevent hEvent);

        /// <summary>Milliseconds between two events.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuEventElapsedTime(ref float pMilliseconds, CUevent hStart, CUevent hEnd);
    }

    /// <summary>Graphs; the name is spelt as in ManagedCuda.</summary>
    public static partial class GraphManagment
    {
        /// <summary>Makes a graph executable.</summary>
        [LibraryImport(CudaLibrary.Driver, EntryPoint = "cuGraphInstantiateWithFlags")]
        public static partial CUResult cuGraphInstantiate(ref CUgraphExec phGraphExec, CUgraph hGraph, CUgraphInstantiate_flags flags);

        /// <summary>Launches an executable graph.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuGraphLaunch(CUgraphExec hGraph, CUstream hStream);

        /// <summary>Destroys an executable graph.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuGraphExecDestroy(CUgraphExec hGraphExec);

        /// <summary>Destroys a graph.</summary>
        [LibraryImport(CudaLibrary.Driver)]
        public static partial CUResult cuGraphDestroy(CUgraph hGraph);
    }
}
