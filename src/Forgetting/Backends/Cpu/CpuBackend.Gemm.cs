using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Gemm(ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, float alpha = 1, float beta = 0)
    {
        (int m, int n, int k) = Contract.Gemm(a, transposeA, b, transposeB, c, widensB: true);
        var product = new Product(
            transposeA, transposeB, m, n, k, alpha, Floats(a), a.Stride, Floats(b), b.Stride, beta, Output(c), c.Stride);
        if (b.DType != DType.Float32)
        {
            WidenedGemm(product, b.Whole);
        }
        else
        {
            _products.Gemm(product, _weights.Packed(product));
        }
    }

    /// <inheritdoc/>
    public void DeclareWeight(Tensor weight)
    {
        Contract.DeclareWeight(weight, StorageType);
        _weights.Declare(weight);
    }
}
