using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="ISinkOperations.SquareAccumulateMatrix"/>.</summary>
    public static void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum)
    {
        Require(x.Rows == dY.Rows && x.DType == dY.DType && Int(offsets));
        Require(sum.Rows == dY.Columns && sum.Columns == x.Columns && Float(sum));
    }

    /// <summary><see cref="ISinkOperations.ProjectMatrix"/>: the number of sequences.</summary>
    public static int ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        Require(x.Rows == dY.Rows && x.DType == dY.DType && a.Rows == dY.Columns && a.Columns == x.Columns);
        return Projection(offsets, a, b, result);
    }

    /// <summary><see cref="ISinkOperations.AccumulateColumns"/>.</summary>
    public static void AccumulateColumns(ColumnView dY, Tensor gradient) => Require(gradient.Count == dY.Columns && Float(gradient));

    /// <summary><see cref="ISinkOperations.SquareAccumulateColumns"/>.</summary>
    public static void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum) =>
        Require(sum.Count == dY.Columns && Float(sum) && Int(offsets));

    /// <summary><see cref="ISinkOperations.ProjectColumns"/>: the number of sequences.</summary>
    public static int ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        Require(a.Count == dY.Columns);
        return Projection(offsets, a, b, result);
    }

    /// <summary><see cref="ISinkOperations.AccumulateRows"/>.</summary>
    public static void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default)
    {
        Require(rows.Count == dY.Rows && Int(rows));
        Require(gradient.Columns == dY.Columns && (Float(gradient) || Rounds(gradient, rounding)));
    }

    /// <summary><see cref="ISinkOperations.SquareAccumulateRows"/>.</summary>
    public static void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
        AccumulateRows(rows, dY, sum);
        Require(Float(sum) && Int(offsets) && (head.IsEmpty || (head.Shape == dY.Shape && Float(head))));
    }

    /// <summary><see cref="ISinkOperations.ProjectRows"/>: the number of sequences.</summary>
    public static int ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
        SquareAccumulateRows(rows, dY, offsets, head, a);
        return Projection(offsets, a, b, result);
    }

    /// <summary><see cref="ISinkOperations.HeadRows"/>.</summary>
    public static void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
        Require(dLogits.Rows == x.Rows && dLogits.DType == x.DType);
        Require(headOffsets.Count == offsets.Count && Int(headOffsets) && Int(offsets));
        Require(rows.Count == y.Rows && Int(rows) && y.Columns == x.Columns && Float(y));
    }

    // A, B and the pairs of all sequences.
    private static int Projection(Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        int sequences = (int)offsets.Count - 1;
        Require(Int(offsets) && Float(a) && Same(a, b));
        Require(result.Shape == new Shape(sequences, 2) && Float(result));
        return sequences;
    }
}
