using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void Gemm(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, float alpha = 1, float beta = 0)
    {
        (int m, int k) = transposeA ? (a.Columns, a.Rows) : (a.Rows, a.Columns);
        (int inner, int n) = transposeB ? (b.Columns, b.Rows) : (b.Rows, b.Columns);
        Require(inner == k && c.Rows == m && c.Columns == n);
        Require(a.DType == b.DType && (c.DType == a.DType || c.DType == DType.Float32));
        if (c.Count == 0)
            return;

        if (k > 0)
        {
            _device.Gemm(a, transposeA, b, transposeB, c, k, alpha, beta);
        }
        else if (beta == 0)
        {
            Fill(c, 0);
        }
        else if (beta != 1)
        {
            Scale(c, beta);
        }
    }

    /// <inheritdoc/>
    public void DeclareWeight(Tensor weight)
    {
        // cuBLAS takes row-major matrices as they are.
    }

    /// <inheritdoc/>
    public void AddBias(Tensor y, Tensor bias)
    {
        Require(bias.Count == y.Columns && bias.DType == y.DType);
        LaunchRows("add_bias", Suffix(y.DType), y.Rows, Blocks(y.Columns, Wide(y.DType)), y, bias, y.Columns);
    }
}
