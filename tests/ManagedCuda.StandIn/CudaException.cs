using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>A driver call that failed; a given message stands alone.</summary>
public class CudaException : Exception
{
    public CudaException(CUResult error)
        : this(error, error.ToString(), null)
    {
    }

    public CudaException(CUResult error, string message, Exception? exception)
        : base(message, exception) => CudaError = error;

    public CUResult CudaError { get; set; }

    internal static void Check(CUResult result)
    {
        if (result != CUResult.Success)
            throw new CudaException(result);
    }
}
