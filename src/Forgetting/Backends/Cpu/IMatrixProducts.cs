namespace Forgetting.Backends.Cpu;

/// <summary>
/// A provider of dense products in host memory. <see cref="ManagedProducts"/> is always there; a native library can stand beside it.
/// </summary>
internal unsafe interface IMatrixProducts : IDisposable
{
    /// <summary>Name for reports.</summary>
    string Name { get; }

    /// <summary>C = α·op(A)·op(B) + β·C for row-major matrices; β = 0 does not read C. C overlaps neither A nor B.</summary>
    /// <param name="a">[m, k], or [k, m] with <paramref name="transposeA"/>, rows <paramref name="lda"/> apart.</param>
    /// <param name="b">[k, n], or [n, k] with <paramref name="transposeB"/>, rows <paramref name="ldb"/> apart.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart.</param>
    void Gemm(
        bool transposeA, bool transposeB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc);
}
