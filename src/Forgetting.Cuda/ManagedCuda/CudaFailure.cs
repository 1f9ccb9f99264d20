using System.Runtime.InteropServices;

namespace Forgetting.Cuda;

/// <summary>Exceptions of failed calls, with the code and its text, which ManagedCuda's leave out where a message is given.</summary>
internal static class CudaFailure
{
    /// <summary>A call of the driver.</summary>
    public static CudaException Of(CUResult result, string call)
    {
        nint name = 0, text = 0;
        bool known = DriverAPINativeMethods.ErrorHandling.cuGetErrorName(result, ref name) == CUResult.Success
            & DriverAPINativeMethods.ErrorHandling.cuGetErrorString(result, ref text) == CUResult.Success;
        string meaning = known
            ? $"{Marshal.PtrToStringUTF8(name)} ({(int)result}), {Marshal.PtrToStringUTF8(text)}"
            : $"{result} ({(int)result})";
        return new CudaException(result, $"{call}: {meaning}", null);
    }

    /// <summary>A call of cuBLAS.</summary>
    public static CudaBlasException Of(CublasStatus status, string call) => new(status, $"{call}: {status} ({(int)status})", null);
}
