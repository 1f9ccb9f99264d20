using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="IElementwiseOperations.RmsNorm"/>.</summary>
    public static void RmsNorm(Tensor x, Tensor residual, Tensor gain, Tensor y, Tensor rstd)
    {
        Require(rstd.Count == x.Rows && Float(rstd));
        Norm(x, residual, gain, y);
    }

    /// <summary><see cref="IElementwiseOperations.RmsNormBackward"/>.</summary>
    public static void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        Require(rstd.Count == x.Rows && Float(rstd));
        NormBackward(dY, x, gain, dX, gainProduct);
    }

    /// <summary><see cref="IElementwiseOperations.LayerNorm"/>.</summary>
    public static void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, Tensor y, Tensor statistics)
    {
        Require(bias.Count == x.Columns && bias.DType == x.DType && statistics.Count == 2L * x.Rows && Float(statistics));
        Norm(x, residual, gain, y);
    }

    /// <summary><see cref="IElementwiseOperations.LayerNormBackward"/>.</summary>
    public static void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        Require(statistics.Count == 2L * x.Rows && Float(statistics));
        NormBackward(dY, x, gain, dX, gainProduct);
        Require(Apart(gainProduct, dY));
    }

    /// <summary><see cref="IElementwiseOperations.SwiGlu"/> and <see cref="IElementwiseOperations.GeGlu"/>.</summary>
    public static void Gated(ColumnView gate, ColumnView up, Tensor y)
    {
        Require(Same(up, gate) && up.Stride == gate.Stride && Same(y, gate));

        // In place only where rows of y are those of the inputs.
        Require(gate.Stride == gate.Columns || (Apart(y, gate) && Apart(y, up)));
    }

    /// <summary>Their backwards.</summary>
    public static void GatedBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        Require(Same(up, gate) && Same(dY, gate) && Same(dGate, gate) && Same(dUp, gate));
        Require(up.Stride == gate.Stride && dGate.Stride == gate.Stride && dUp.Stride == gate.Stride);
        Require(gate.Stride == gate.Columns || (Apart(dGate, dY) && Apart(dUp, dY)));
    }

    /// <summary><see cref="IElementwiseOperations.Gelu"/> and <see cref="IElementwiseOperations.SoftCap"/>.</summary>
    public static void Activation(Tensor x, Tensor y) => Require(Alike(x, y));

    /// <summary>Their backwards.</summary>
    public static void ActivationBackward(Tensor x, Tensor dY, Tensor dX) => Require(Alike(x, dX) && Alike(dY, dX));

    /// <summary><see cref="IElementwiseOperations.Axpy"/>.</summary>
    public static void Axpy(Tensor x, Tensor y) => Require(Alike(x, y));

    /// <summary><see cref="IElementwiseOperations.Multiply"/>.</summary>
    public static void Multiply(Tensor a, Tensor b, Tensor y) => Require(Float(y) && Alike(a, y) && Alike(b, y));

    private static void Norm(Tensor x, Tensor residual, Tensor gain, Tensor y)
    {
        Require(Same(x, y) && gain.Count == x.Columns && gain.DType == x.DType);
        Require(residual.IsEmpty || Same(residual, x));
    }

    private static void NormBackward(Tensor dY, Tensor x, Tensor gain, Tensor dX, Tensor gainProduct)
    {
        Require(Same(dY, x) && Same(dX, x) && gain.Count == x.Columns && gain.DType == x.DType);
        Require(gainProduct.IsEmpty || Same(gainProduct, x));
    }
}
