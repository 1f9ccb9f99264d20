using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// A provider of dense products in host memory. <see cref="ManagedMatMul"/> is always there; a native library can stand beside it. A row
/// of C has the same bits whatever the other rows, the number of threads, and whether B was packed before or is packed for this product.
/// </summary>
internal unsafe interface IMatMul : IDisposable
{
    /// <summary>What <c>--products</c> calls it.</summary>
    string Name { get; }

    /// <summary>Name with what it makes of this machine, for reports.</summary>
    string Description { get; }

    /// <summary>Type to which operands are rounded, to nearest even, before they are multiplied; sums are Float32.</summary>
    DType OperandType { get; }

    /// <summary>Computes a product.</summary>
    /// <param name="packedB">B as <see cref="Pack"/> left it, or null.</param>
    void Gemm(in Product product, void* packedB = null);

    /// <summary>Bytes of the product's B when packed, or 0 where the product would not use it.</summary>
    long PackedBytes(in Product product);

    /// <summary>Packs the product's B for every product with the same N, K and orientation of B, whatever its A and C.</summary>
    void Pack(in Product product, void* packedB);
}

/// <summary>C = α·op(A)·op(B) + β·C for row-major matrices of Float32; β = 0 does not read C. C overlaps neither A nor B.</summary>
/// <param name="transposeA">A is [k, m].</param>
/// <param name="transposeB">B is [n, k].</param>
/// <param name="a">[m, k], rows <paramref name="lda"/> apart.</param>
/// <param name="b">[k, n], rows <paramref name="ldb"/> apart.</param>
/// <param name="c">[m, n], rows <paramref name="ldc"/> apart.</param>
internal readonly unsafe struct Product(
    bool transposeA, bool transposeB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc)
{
    public readonly bool TransposeA = transposeA;
    public readonly bool TransposeB = transposeB;
    public readonly int M = m;
    public readonly int N = n;
    public readonly int K = k;
    public readonly float Alpha = alpha;
    public readonly float Beta = beta;
    public readonly float* A = a;
    public readonly float* B = b;
    public readonly float* C = c;
    public readonly int Lda = lda;
    public readonly int Ldb = ldb;
    public readonly int Ldc = ldc;

    // Where caches are larger some of C could have been found there; ordinary stores read and evict as much.
    private const long PastCaches = 64L << 20;

    /// <summary>
    /// Whether C is best stored past the caches, if each element is stored once: it is overwritten, lies in whole lines, and is
    /// so large that nothing of it would be left when somebody reads it. Ordinary stores read every line before they write it.
    /// Who does so ends with a store fence.
    /// </summary>
    public bool Streams =>
        Sse.IsSupported && Beta == 0 && sizeof(float) * (long)M * N >= PastCaches
        && ((nint)C | (sizeof(float) * (nint)Ldc)) % Vector512<byte>.Count == 0;
}
