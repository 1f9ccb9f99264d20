using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static Forgetting.Cuda.CudaBlasNativeMethods;

namespace Forgetting.Cuda;

#pragma warning disable CA1707, CA1711, CA1401, IDE1006 // CUDA's and ManagedCuda's names

/// <summary>What a cuBLAS call returns.</summary>
public enum CublasStatus
{
    /// <summary>No error.</summary>
    Success = 0,

    /// <summary>The library or the handle is not initialised.</summary>
    NotInitialized = 1,

    /// <summary>Not enough memory.</summary>
    AllocFailed = 3,

    /// <summary>An argument is outside its range.</summary>
    InvalidValue = 7,

    /// <summary>The device cannot do it.</summary>
    ArchMismatch = 8,

    /// <summary>Access to device memory failed.</summary>
    MappingError = 11,

    /// <summary>The launch failed.</summary>
    ExecutionFailed = 13,

    /// <summary>An internal error.</summary>
    InternalError = 14,

    /// <summary>This combination is not supported.</summary>
    NotSupported = 15,
}

/// <summary>What happens to a matrix before the product.</summary>
public enum Operation
{
    /// <summary>Nothing.</summary>
    NonTranspose = 0,

    /// <summary>Transposition.</summary>
    Transpose = 1,
}

/// <summary>Element types.</summary>
public enum cudaDataType
{
    /// <summary>binary32.</summary>
    CUDA_R_32F = 0,

    /// <summary>bfloat16.</summary>
    CUDA_R_16BF = 14,
}

/// <summary>Precision of the sums.</summary>
public enum ComputeType
{
    /// <summary>binary32.</summary>
    Compute32F = 68,

    /// <summary>binary32, without any shortcut.</summary>
    Compute32FPedantic = 69,

    /// <summary>binary32, products of TF32.</summary>
    Compute32FFastTF32 = 77,
}

/// <summary>Restrictions on how products are computed. ManagedCuda calls it Math, which the global usings rename.</summary>
public enum CublasMath
{
    /// <summary>None.</summary>
    DefaultMath = 0,

    /// <summary>Partial sums are added in the type of computation even where the result has a narrower one.</summary>
    DisallowReducedPrecisionReduction = 16,
}

/// <summary>Algorithm of a product.</summary>
public enum GemmAlgo
{
    /// <summary>cuBLAS chooses.</summary>
    Default = -1,
}

/// <summary>A cuBLAS context.</summary>
/// <param name="Pointer">The library's handle; 0 is none.</param>
public readonly record struct CudaBlasHandle(nint Pointer);

/// <summary>cuBLAS itself. Every function returns its status; nothing is checked here. Matrices are column-major.</summary>
public static partial class CudaBlasNativeMethods
{
    /// <summary>Creates a context.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasCreate_v2(ref CudaBlasHandle handle);

    /// <summary>Destroys a context.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasDestroy_v2(CudaBlasHandle handle);

    /// <summary>Version: 10000·major + 100·minor + patch, from 11 on.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasGetVersion_v2(CudaBlasHandle handle, ref int version);

    /// <summary>Sets the stream of later calls.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasSetStream_v2(CudaBlasHandle handle, CUstream streamId);

    /// <summary>Restricts how products are computed.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasSetMathMode(CudaBlasHandle handle, CublasMath mode);

    /// <summary>Gives the library device memory to work in, as graphs need it.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasSetWorkspace_v2(CudaBlasHandle handle, CUdeviceptr workspace, SizeT workspaceSizeInBytes);

    /// <summary>C = α·op(A)·op(B) + β·C; α and β are addresses of floats in host memory.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    public static partial CublasStatus cublasGemmEx(
        CudaBlasHandle handle, Operation transa, Operation transb, int m, int n, int k, nint alpha, CUdeviceptr A, cudaDataType Atype,
        int lda, CUdeviceptr B, cudaDataType Btype, int ldb, nint beta, CUdeviceptr C, cudaDataType Ctype, int ldc, ComputeType computeType,
        GemmAlgo algo);

    /// <summary>Name of a status, as a pointer to UTF-8.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    internal static partial nint cublasGetStatusName(CublasStatus status);

    /// <summary>Text of a status, as a pointer to UTF-8.</summary>
    [LibraryImport(CudaLibrary.Blas)]
    internal static partial nint cublasGetStatusString(CublasStatus status);
}

/// <summary>A cuBLAS call that failed. The message names the call, the code and its text.</summary>
public sealed class CudaBlasException : Exception
{
    /// <summary>A failure of the call that <paramref name="message"/> names.</summary>
    public CudaBlasException(CublasStatus error, string message, Exception? exception = null)
        : base(
            $"{message}: {Marshal.PtrToStringUTF8(cublasGetStatusName(error))} ({(int)error}), "
                + $"{Marshal.PtrToStringUTF8(cublasGetStatusString(error))}",
            exception) =>
        CudaBlasError = error;

    /// <summary>What the library returned.</summary>
    public CublasStatus CudaBlasError { get; }

    internal static void Check(CublasStatus result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != CublasStatus.Success)
            throw new CudaBlasException(result, CudaException.CallName(call));
    }
}

/// <summary>
/// A cuBLAS context: stream, restrictions, version. Products are functions of <see cref="CudaBlasNativeMethods"/>.
/// </summary>
public sealed class CudaBlas : IDisposable
{
    private readonly OwnedHandle _handle;
    private CUstream _stream;
    private CublasMath _mathMode;

    /// <summary>Creates a cuBLAS context in the current CUDA context.</summary>
    /// <exception cref="CudaBlasException">The library fails.</exception>
    /// <exception cref="CudaLibraryException">There is no cuBLAS.</exception>
    public CudaBlas()
    {
        CudaBlasHandle handle = default;
        CudaBlasException.Check(cublasCreate_v2(ref handle));
        _handle = new OwnedHandle(
            handle.Pointer, static pointer =>
                cublasDestroy_v2(new CudaBlasHandle(pointer)) == CublasStatus.Success ? CUResult.Success : CUResult.ErrorUnknown);
    }

    /// <summary>The library's context.</summary>
    public CudaBlasHandle CublasHandle => new(_handle.Value);

    /// <summary>Stream of the calls.</summary>
    /// <exception cref="CudaBlasException">Not a stream.</exception>
    public CUstream Stream
    {
        get => _stream;
        set
        {
            CudaBlasException.Check(cublasSetStream_v2(CublasHandle, value));
            _stream = value;
        }
    }

    /// <summary>Restrictions on how products are computed; none at first.</summary>
    /// <exception cref="CudaBlasException">cuBLAS does not know it.</exception>
    public CublasMath MathMode
    {
        get => _mathMode;
        set
        {
            CudaBlasException.Check(cublasSetMathMode(CublasHandle, value));
            _mathMode = value;
        }
    }

    /// <summary>Version of the library.</summary>
    /// <exception cref="CudaBlasException">The library fails.</exception>
    public Version GetVersion()
    {
        int version = 0;
        CudaBlasException.Check(cublasGetVersion_v2(CublasHandle, ref version));
        return new Version(version / 10000, version % 10000 / 100, version % 100);
    }

    /// <summary>Destroys the context.</summary>
    public void Dispose() => _handle.Release(nameof(cublasDestroy_v2));
}
