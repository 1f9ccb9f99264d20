using System.Runtime.InteropServices;
using Forgetting.Testing;

namespace Forgetting.Cuda.Tests;

/// <summary>Products of cuBLAS by its functions; what the library says of a failed one is the message of its exception.</summary>
internal sealed unsafe class Products : IDisposable
{
    public CudaBlas Library { get; } = new();

    /// <summary>C = α·op(A)·op(B) + β·C, column-major.</summary>
    public void Multiply(
        bool transposeA, bool transposeB, int m, int n, int k, float alpha, CUdeviceptr a, int lda, CUdeviceptr b, int ldb, float beta,
        CUdeviceptr c, int ldc, bool bfloat16 = false)
    {
        cudaDataType type = bfloat16 ? cudaDataType.CUDA_R_16BF : cudaDataType.CUDA_R_32F;
        Check(CudaBlasNativeMethods.cublasGemmEx(
            Library.CublasHandle, OperationOf(transposeA), OperationOf(transposeB), m, n, k, (nint)(&alpha), a, type, lda, b, type, ldb,
            (nint)(&beta), c, type, ldc, ComputeType.Compute32F, GemmAlgo.Default));
    }

    public void Dispose() => Library.Dispose();

    private static Operation OperationOf(bool transpose) => transpose ? Operation.Transpose : Operation.NonTranspose;

    private static void Check(CublasStatus status)
    {
        if (status == CublasStatus.Success)
            return;

        // ManagedCuda does not know this function.
        nint library = NativeLibrary.Load(Emulation.Driver);
        var text = (delegate* unmanaged<CublasStatus, nint>)NativeLibrary.GetExport(library, "cublasGetStatusString");
        throw new CudaBlasException(status, Marshal.PtrToStringUTF8(text(status))!, null);
    }
}
