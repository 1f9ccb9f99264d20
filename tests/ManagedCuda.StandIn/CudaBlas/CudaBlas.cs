using ManagedCuda.BasicTypes;

namespace ManagedCuda.CudaBlas;

public enum CublasStatus
{
    Success = 0,
    AllocFailed = 3,
    ExecutionFailed = 13,
}

public enum Operation
{
    NonTranspose = 0,
    Transpose = 1,
}

public enum Math
{
    DisallowReducedPrecisionReduction = 16,
}

public enum ComputeType
{
    Compute32F = 68,
}

public enum GemmAlgo
{
    Default = -1,
}

public struct CudaBlasHandle
{
    public nint Pointer;
}

/// <summary>A cuBLAS call that failed; a given message stands alone.</summary>
public class CudaBlasException : Exception
{
    public CudaBlasException(CublasStatus error)
        : this(error, error.ToString(), null)
    {
    }

    public CudaBlasException(CublasStatus error, string message, Exception? exception)
        : base(message, exception) => CudaBlasError = error;

    public CublasStatus CudaBlasError { get; set; }

    internal static void Check(CublasStatus status)
    {
        if (status != CublasStatus.Success)
            throw new CudaBlasException(status);
    }
}

/// <summary>A cuBLAS context. It can be disposed of, though not by <c>using</c>.</summary>
public class CudaBlas
{
    private readonly CudaBlasHandle _handle;
    private CUstream _stream;
    private Math _mathMode;
    private bool _disposed;

    public CudaBlas() => CudaBlasException.Check(Functions.cublasCreate_v2(ref _handle));

    public CudaBlasHandle CublasHandle => _handle;

    public CUstream Stream
    {
        get => _stream;
        set
        {
            CudaBlasException.Check(Functions.cublasSetStream_v2(_handle, value));
            _stream = value;
        }
    }

    public Math MathMode
    {
        get => _mathMode;
        set
        {
            CudaBlasException.Check(Functions.cublasSetMathMode(_handle, value));
            _mathMode = value;
        }
    }

    public Version GetVersion()
    {
        int version = 0;
        CudaBlasException.Check(Functions.cublasGetVersion_v2(_handle, ref version));
        return new Version(version / 10000, version % 10000 / 100, version % 100);
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Functions.cublasDestroy_v2(_handle);
        }
    }
}
