using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Gemm(ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, float alpha = 1, float beta = 0)
    {
        int k = Contract.Gemm(a, transposeA, b, transposeB, c).K;
        if (c.Count == 0)
            return;

        if (k > 0 && b.DType == DType.NormalFloat4)
        {
            QuantizedGemm(a, transposeA, b.Whole, transposeB, c, k, alpha, beta);
        }
        else if (k > 0)
        {
            _device.Gemm(a, transposeA, b, transposeB, c, k, alpha, beta);
        }
        else if (beta == 0)
        {
            Fill(c.Whole, 0);
        }
        else if (beta != 1)
        {
            Scale(c.Whole, beta);
        }
    }

    /// <inheritdoc/>
    public void DeclareWeight(Tensor weight)
    {
        // cuBLAS takes row-major matrices as they are.
    }

    /// <inheritdoc/>
    public void AddBias(ColumnView y, Tensor bias)
    {
        Contract.AddBias(y, bias);
        LaunchRows("add_bias", Suffix(y.DType), y.Rows, Blocks(y.Columns, Wide(y.DType)), y, bias, y.Columns, y.Stride);
    }
}
