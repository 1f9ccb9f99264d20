using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;

namespace ManagedCuda.CudaBlas;

/// <summary>Functions of cuBLAS that the program and its tests call themselves.</summary>
public static class CudaBlasNativeMethods
{
    [DllImport(Libraries.Blas)]
    public static extern CublasStatus cublasSetWorkspace_v2(CudaBlasHandle handle, CUdeviceptr workspace, SizeT workspaceSizeInBytes);

    [DllImport(Libraries.Blas)]
    public static extern CublasStatus cublasGemmEx(
        CudaBlasHandle handle, Operation transa, Operation transb, int m, int n, int k, nint alpha, CUdeviceptr A, cudaDataType Atype,
        int lda, CUdeviceptr B, cudaDataType Btype, int ldb, nint beta, CUdeviceptr C, cudaDataType Ctype, int ldc, ComputeType computeType,
        GemmAlgo algo);
}
