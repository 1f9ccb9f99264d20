namespace Forgetting.Cuda;

/// <summary>
/// Exceptions of failed calls whose message names the call, the code and its text. Consumers that also compile against ManagedCuda, whose
/// exceptions say no more than they are told, make them here.
/// </summary>
public static class CudaFailure
{
    /// <summary>A call of the driver.</summary>
    /// <param name="call">What was called, and for what.</param>
    public static CudaException Of(CUResult result, string call) => new(result, call);

    /// <summary>A call of cuBLAS.</summary>
    /// <param name="call">What was called, and for what.</param>
    public static CudaBlasException Of(CublasStatus status, string call) => new(status, call);
}
