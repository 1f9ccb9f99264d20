using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>Functions of the driver that the classes here call.</summary>
internal static class Functions
{
    [DllImport(Libraries.Driver)]
    public static extern CUResult cuInit(uint flags);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDeviceGetCount(ref int count);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDeviceGet(ref CUdevice device, int ordinal);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDeviceGetName(byte[] name, int len, CUdevice dev);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDeviceTotalMem_v2(ref SizeT bytes, CUdevice dev);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDeviceGetAttribute(ref int pi, int attrib, CUdevice dev);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuDevicePrimaryCtxRetain(ref CUcontext pctx, CUdevice dev);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuCtxSetCurrent(CUcontext ctx);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuCtxSynchronize();

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemGetInfo_v2(ref SizeT free, ref SizeT total);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuModuleLoad(ref CUmodule module, [MarshalAs(UnmanagedType.LPUTF8Str)] string fname);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuModuleLoadDataEx(ref CUmodule module, byte[] image, uint numOptions, nint options, nint optionValues);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuModuleUnload(CUmodule hmod);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuModuleGetFunction(
        ref CUfunction hfunc, CUmodule hmod, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuFuncGetAttribute(ref int pi, int attrib, CUfunction hfunc);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuFuncSetAttribute(CUfunction hfunc, int attrib, int value);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemHostAlloc(ref nint pp, SizeT bytesize, uint flags);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemFreeHost(nint p);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemcpyHtoD_v2(CUdeviceptr dstDevice, nint srcHost, SizeT byteCount);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemcpyDtoH_v2(nint dstHost, CUdeviceptr srcDevice, SizeT byteCount);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemcpyDtoD_v2(CUdeviceptr dstDevice, CUdeviceptr srcDevice, SizeT byteCount);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemsetD8_v2(CUdeviceptr dstDevice, byte b, SizeT n);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemsetD32_v2(CUdeviceptr dstDevice, uint ui, SizeT n);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuMemsetD8Async(CUdeviceptr dstDevice, byte b, SizeT n, CUstream hStream);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuStreamCreate(ref CUstream phStream, CUStreamFlags flags);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuStreamDestroy_v2(CUstream hStream);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuStreamSynchronize(CUstream hStream);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuStreamQuery(CUstream hStream);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, uint flags);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventCreate(ref CUevent phEvent, CUEventFlags flags);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventDestroy_v2(CUevent hEvent);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventRecord(CUevent hEvent, CUstream hStream);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventSynchronize(CUevent hEvent);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventQuery(CUevent hEvent);

    [DllImport(Libraries.Driver)]
    public static extern CUResult cuEventElapsedTime(ref float pMilliseconds, CUevent hStart, CUevent hEnd);

    [DllImport(Libraries.Blas)]
    public static extern CudaBlas.CublasStatus cublasCreate_v2(ref CudaBlas.CudaBlasHandle handle);

    [DllImport(Libraries.Blas)]
    public static extern CudaBlas.CublasStatus cublasDestroy_v2(CudaBlas.CudaBlasHandle handle);

    [DllImport(Libraries.Blas)]
    public static extern CudaBlas.CublasStatus cublasGetVersion_v2(CudaBlas.CudaBlasHandle handle, ref int version);

    [DllImport(Libraries.Blas)]
    public static extern CudaBlas.CublasStatus cublasSetStream_v2(CudaBlas.CudaBlasHandle handle, CUstream streamId);

    [DllImport(Libraries.Blas)]
    public static extern CudaBlas.CublasStatus cublasSetMathMode(CudaBlas.CudaBlasHandle handle, CudaBlas.Math mode);
}
