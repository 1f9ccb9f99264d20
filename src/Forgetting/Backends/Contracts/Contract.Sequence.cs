using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="ISequenceOperations.GatherRows"/>.</summary>
    public static void GatherRows(Tensor table, Tensor rows, Tensor y) =>
        Require(rows.Count == y.Rows && Int(rows) && table.Columns == y.Columns && table.DType == y.DType);

    /// <summary><see cref="ISequenceOperations.ScatterRows"/>.</summary>
    public static void ScatterRows(Tensor x, Tensor rows, Tensor y) =>
        Require(rows.Count == x.Rows && Int(rows) && x.Columns == y.Columns && x.DType == y.DType);

    /// <summary><see cref="ISequenceOperations.CopyColumns"/>.</summary>
    public static void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
        Require(source.Rows == destination.Rows && source.DType == destination.DType);
        Require(sourceColumn >= 0 && count >= 0 && sourceColumn + count <= source.Columns);
        Require(destinationColumn >= 0 && destinationColumn + count <= destination.Columns);
    }

    /// <summary><see cref="ISequenceOperations.SegmentMean"/>.</summary>
    public static void SegmentMean(Tensor x, Tensor offsets, Tensor y) =>
        Require(offsets.Count == y.Rows + 1 && Int(offsets) && x.Columns == y.Columns && Float(y));

    /// <summary><see cref="ISequenceOperations.SegmentMeanBackward"/>.</summary>
    public static void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX) =>
        Require(offsets.Count == dY.Rows + 1 && Int(offsets) && dX.Columns == dY.Columns && Float(dY));
}
