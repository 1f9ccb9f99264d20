using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="IDenseOperations.Gemm"/>: M, N and K.</summary>
    /// <param name="widensB">Whether the backend takes a B in BFloat16 beside Float32.</param>
    public static (int M, int N, int K) Gemm(
        ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, bool widensB = false)
    {
        (int m, int k) = transposeA ? (a.Columns, a.Rows) : (a.Rows, a.Columns);
        (int inner, int n) = transposeB ? (b.Columns, b.Rows) : (b.Rows, b.Columns);
        Require(inner == k && c.Rows == m && c.Columns == n);
        Require(a.DType == b.DType || b.DType == DType.NormalFloat4 || (widensB && b.DType == DType.BFloat16));
        Require(c.DType == a.DType || c.DType == DType.Float32);
        Require(Apart(c, a) && Apart(c, b) && (k > 0 || c.Stride == c.Columns));
        return (m, n, k);
    }

    /// <summary><see cref="IDenseOperations.AddBias"/>.</summary>
    public static void AddBias(ColumnView y, Tensor bias) => Require(bias.Count == y.Columns && bias.DType == y.DType && Apart(y, bias));

    /// <summary><see cref="IDenseOperations.LoraDown"/>.</summary>
    public static void LoraDown(Tensor x, DropoutMask mask, Tensor a, Tensor low)
    {
        Lora(x, mask, a, low);
        Require(x.DType == low.DType && a.DType == x.DType);
        Require(Apart(low, x) && Apart(low, a));
    }

    /// <summary><see cref="IDenseOperations.LoraDownGradient"/>.</summary>
    public static void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
        Lora(x, mask, gradient, dLow);
        Require(x.DType == dLow.DType && Float(gradient));
        Require(Apart(gradient, x) && Apart(gradient, dLow));
    }

    /// <summary><see cref="IDenseOperations.LoraDownInput"/>.</summary>
    public static void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX)
    {
        Lora(dX, mask, a, dLow);
        Require(dX.DType == dLow.DType && a.DType == dX.DType);
        Require(Apart(dX, dLow) && Apart(dX, a));
    }

    /// <summary><see cref="IDenseOperations.MagnitudeFactors"/>.</summary>
    public static void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, Tensor factors)
    {
        int outputs = b.Rows, rank = b.Columns;
        Require(squares.Count == outputs && Float(squares) && magnitude.Count == outputs && Float(magnitude));
        Require(cross.Shape == new Shape(rank, outputs) && Float(cross) && gram.Shape == new Shape(rank, rank) && Float(gram));
        Require(factors.Shape == new Shape(2, outputs) && Float(factors));
        Require(Apart(factors, squares) && Apart(factors, magnitude) && Apart(factors, cross) && Apart(factors, gram));
    }

    /// <summary><see cref="IDenseOperations.Magnitude"/>.</summary>
    public static void Magnitude(ColumnView y, Tensor factors, Tensor unit)
    {
        Require(factors.Shape == new Shape(2, y.Columns) && Float(factors) && Apart(y, factors));
        Require(unit.IsEmpty || (unit.Shape == y.Shape && unit.DType == y.DType && Apart(unit, y) && Apart(unit, factors)));
    }

    /// <summary><see cref="IDenseOperations.MagnitudeBackward"/>.</summary>
    public static void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV)
    {
        Require(factors.Shape == new Shape(2, dY.Columns) && Float(factors) && Same(dY, dV) && Same(dY, unit));
        Require(Apart(unit, dY) && Apart(unit, dV) && Apart(unit, factors) && Apart(dV, factors));
    }

    private static void Lora(Tensor x, DropoutMask mask, Tensor a, Tensor low)
    {
        Require(a.Columns == x.Columns && low.Rows == x.Rows && low.Columns == a.Rows);
        Require(mask.RowKeys.Count == x.Rows && Int(mask.RowKeys) && mask.Seed.Count == 2);
    }
}
