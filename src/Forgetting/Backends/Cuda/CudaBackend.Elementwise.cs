using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
        Contract.RmsNorm(x, residual, gain, y, rstd);
        LaunchRows(
            "rms_norm", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), x, residual, gain, offset, epsilon, y, rstd, x.Columns);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        Contract.RmsNormBackward(dY, x, gain, rstd, dX, gainProduct);
        LaunchRows(
            "rms_norm_backward", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), dY, x, gain, offset, rstd, dX, gainProduct,
            x.Columns);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
        Contract.LayerNorm(x, residual, gain, bias, y, statistics);
        LaunchRows(
            "layer_norm", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), x, residual, gain, bias, epsilon, y, statistics,
            x.Columns);
    }

    /// <inheritdoc/>
    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        Contract.LayerNormBackward(dY, x, gain, statistics, dX, gainProduct);
        LaunchRows(
            "layer_norm_backward", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), dY, x, gain, statistics, dX, gainProduct,
            x.Columns);
    }

    /// <inheritdoc/>
    public void SwiGlu(ColumnView gate, ColumnView up, Tensor y) => Gated("swiglu", gate, up, y);

    /// <inheritdoc/>
    public void SwiGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp) =>
        GatedBackward("swiglu_backward", gate, up, dY, dGate, dUp);

    /// <inheritdoc/>
    public void GeGlu(ColumnView gate, ColumnView up, Tensor y) => Gated("geglu", gate, up, y);

    /// <inheritdoc/>
    public void GeGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp) =>
        GatedBackward("geglu_backward", gate, up, dY, dGate, dUp);

    /// <inheritdoc/>
    public void SoftCap(Tensor x, Tensor y, float cap)
    {
        Contract.Activation(x, y);
        LaunchFlat("soft_cap", Suffix(x.DType), x.Count, Wide(x.DType), x, y, cap, x.Count);
    }

    /// <inheritdoc/>
    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
        Contract.ActivationBackward(x, dY, dX);
        LaunchFlat("soft_cap_backward", Suffix(x.DType), x.Count, Wide(x.DType), x, dY, dX, cap, x.Count);
    }

    private void Gated(string kernel, ColumnView gate, ColumnView up, Tensor y)
    {
        Contract.Gated(gate, up, y);
        LaunchRows(kernel, Suffix(y.DType), y.Rows, Blocks(y.Columns, Wide(y.DType)), gate, up, y, y.Columns, gate.Stride);
    }

    private void GatedBackward(string kernel, ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        Contract.GatedBackward(gate, up, dY, dGate, dUp);
        LaunchRows(
            kernel, Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, Wide(dY.DType)), gate, up, dY, dGate, dUp, dY.Columns, gate.Stride);
    }

    /// <inheritdoc/>
    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
        Contract.Activation(x, y);
        LaunchFlat("gelu", Suffix(x.DType), x.Count, Wide(x.DType), x, y, tanh ? 1 : 0, x.Count);
    }

    /// <inheritdoc/>
    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
        Contract.ActivationBackward(x, dY, dX);
        LaunchFlat("gelu_backward", Suffix(x.DType), x.Count, Wide(x.DType), x, dY, dX, tanh ? 1 : 0, x.Count);
    }

    /// <inheritdoc/>
    public void Axpy(float alpha, Tensor x, Tensor y)
    {
        Contract.Axpy(x, y);
        LaunchFlat("axpy", Suffix(y.DType), y.Count, Wide(y.DType), alpha, x, y, y.Count);
    }

    /// <inheritdoc/>
    public void Scale(Tensor x, float alpha) => LaunchFlat("scale", Suffix(x.DType), x.Count, Wide(x.DType), x, alpha, x.Count);

    /// <inheritdoc/>
    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        Contract.Multiply(a, b, y);
        LaunchFlat("multiply", "f32", y.Count, 4, a, b, y, y.Count);
    }
}
