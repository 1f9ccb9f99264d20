using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
        RequireResidual(x, residual);
        Require(gain.Count == x.Columns && y.Shape == x.Shape && rstd.Count == x.Rows);
        Require(gain.DType == x.DType && y.DType == x.DType);
        LaunchRows(
            "rms_norm", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), x, residual, gain, offset, epsilon, y, rstd, x.Columns);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        RequireNormBackward(dY, x, gain, dX, gainProduct);
        LaunchRows(
            "rms_norm_backward", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), dY, x, gain, offset, rstd, dX, gainProduct,
            x.Columns);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
        RequireResidual(x, residual);
        Require(gain.Count == x.Columns && bias.Count == x.Columns && y.Shape == x.Shape && statistics.Count == 2L * x.Rows);
        Require(gain.DType == x.DType && bias.DType == x.DType && y.DType == x.DType);
        LaunchRows(
            "layer_norm", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), x, residual, gain, bias, epsilon, y, statistics,
            x.Columns);
    }

    /// <inheritdoc/>
    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        RequireNormBackward(dY, x, gain, dX, gainProduct);
        LaunchRows(
            "layer_norm_backward", Suffix(x.DType), x.Rows, Blocks(x.Columns, Wide(x.DType)), dY, x, gain, statistics, dX, gainProduct,
            x.Columns);
    }

    /// <inheritdoc/>
    public void SwiGlu(Tensor gate, Tensor up, Tensor y) => Gated("swiglu", gate, up, y);

    /// <inheritdoc/>
    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dY, Tensor dGate, Tensor dUp) =>
        GatedBackward("swiglu_backward", gate, up, dY, dGate, dUp);

    /// <inheritdoc/>
    public void GeGlu(Tensor gate, Tensor up, Tensor y) => Gated("geglu", gate, up, y);

    /// <inheritdoc/>
    public void GeGluBackward(Tensor gate, Tensor up, Tensor dY, Tensor dGate, Tensor dUp) =>
        GatedBackward("geglu_backward", gate, up, dY, dGate, dUp);

    /// <inheritdoc/>
    public void SoftCap(Tensor x, Tensor y, float cap)
    {
        Require(y.Shape == x.Shape && y.DType == x.DType);
        LaunchFlat("soft_cap", Suffix(x.DType), x.Count, Wide(x.DType), x, y, cap, x.Count);
    }

    /// <inheritdoc/>
    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
        Require(dY.Shape == x.Shape && dX.Shape == x.Shape && dY.DType == x.DType && dX.DType == x.DType);
        LaunchFlat("soft_cap_backward", Suffix(x.DType), x.Count, Wide(x.DType), x, dY, dX, cap, x.Count);
    }

    private void Gated(string kernel, Tensor gate, Tensor up, Tensor y)
    {
        Require(up.Shape == gate.Shape && y.Shape == gate.Shape && up.DType == gate.DType && y.DType == gate.DType);
        LaunchFlat(kernel, Suffix(y.DType), y.Count, Wide(y.DType), gate, up, y, y.Count);
    }

    private void GatedBackward(string kernel, Tensor gate, Tensor up, Tensor dY, Tensor dGate, Tensor dUp)
    {
        Require(up.Shape == gate.Shape && dY.Shape == gate.Shape && dGate.Shape == gate.Shape && dUp.Shape == gate.Shape);
        Require(up.DType == gate.DType && dY.DType == gate.DType && dGate.DType == gate.DType && dUp.DType == gate.DType);
        LaunchFlat(kernel, Suffix(dY.DType), dY.Count, Wide(dY.DType), gate, up, dY, dGate, dUp, dY.Count);
    }

    /// <inheritdoc/>
    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
        Require(y.Shape == x.Shape && y.DType == x.DType);
        LaunchFlat("gelu", Suffix(x.DType), x.Count, Wide(x.DType), x, y, tanh ? 1 : 0, x.Count);
    }

    /// <inheritdoc/>
    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
        Require(dY.Shape == x.Shape && dX.Shape == x.Shape && dY.DType == x.DType && dX.DType == x.DType);
        LaunchFlat("gelu_backward", Suffix(x.DType), x.Count, Wide(x.DType), x, dY, dX, tanh ? 1 : 0, x.Count);
    }

    /// <inheritdoc/>
    public void Axpy(float alpha, Tensor x, Tensor y)
    {
        Require(x.Count == y.Count && x.DType == y.DType);
        LaunchFlat("axpy", Suffix(y.DType), y.Count, Wide(y.DType), alpha, x, y, y.Count);
    }

    /// <inheritdoc/>
    public void Scale(Tensor x, float alpha) => LaunchFlat("scale", Suffix(x.DType), x.Count, Wide(x.DType), x, alpha, x.Count);

    /// <inheritdoc/>
    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        Require(a.Count == y.Count && b.Count == y.Count);
        Require(a.DType == DType.Float32 && b.DType == DType.Float32 && y.DType == DType.Float32);
        LaunchFlat("multiply", "f32", y.Count, 4, a, b, y, y.Count);
    }

    private static void RequireResidual(Tensor x, Tensor residual) =>
        Require(residual.IsEmpty || (residual.Shape == x.Shape && residual.DType == x.DType));

    private static void RequireNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor dX, Tensor gainProduct)
    {
        Require(dY.Shape == x.Shape && dX.Shape == x.Shape && gain.Count == x.Columns);
        Require(dY.DType == x.DType && dX.DType == x.DType && gain.DType == x.DType);
        Require(gainProduct.IsEmpty || (gainProduct.Shape == x.Shape && gainProduct.DType == x.DType));
    }
}
