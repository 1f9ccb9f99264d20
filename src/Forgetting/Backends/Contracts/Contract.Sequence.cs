using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="ISequenceOperations.GatherRows"/>.</summary>
    /// <param name="widens">Whether the backend takes a table in BFloat16 beside Float32.</param>
    public static void GatherRows(Tensor table, Tensor rows, Tensor y, bool widens = false)
    {
        Require(rows.Count == y.Rows && Int(rows) && table.Columns == y.Columns);
        Require(table.DType == y.DType || (widens && table.DType == DType.BFloat16 && Float(y)));
    }

    /// <summary><see cref="ISequenceOperations.ScatterRows"/>.</summary>
    public static void ScatterRows(ColumnView x, Tensor rows, Tensor y) =>
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

    /// <summary><see cref="ISequenceOperations.Rope"/>.</summary>
    public static void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize)
    {
        Require(x.Columns % headSize == 0 && positions.Count == x.Rows && Int(positions));
        Require(cosine.Columns <= headSize / 2 && Float(cosine) && Same(sine, cosine));
    }

    /// <summary><see cref="ISequenceOperations.Attention"/>.</summary>
    public static void Attention(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        Heads(shape, q, k, v, o);
        Require(k.Rows == q.Rows && Int(offsets) && logSumExp.Count == (long)q.Rows * shape.Heads && Float(logSumExp));
    }

    /// <summary><see cref="ISequenceOperations.AttentionBackward"/>.</summary>
    public static void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV)
    {
        Attention(shape, q, k, v, offsets, o, logSumExp);
        Require(Same(dO, o) && Same(dQ, q) && Same(dK, k) && Same(dV, v) && Alike(delta, logSumExp));
        Require(dQ.Stride == q.Stride && dK.Stride == k.Stride && dV.Stride == v.Stride);
    }

    /// <summary><see cref="ISequenceOperations.AttentionWithCache"/>: the number of sequences.</summary>
    public static int AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        int sequences = (int)offsets.Count - 1;
        Heads(shape, q, keys, values, o);
        Require(Int(offsets) && starts.Count == sequences && Int(starts) && lengths.Count == sequences && Int(lengths));
        return sequences;
    }

    private static void Heads(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor o)
    {
        Require(shape.Heads % shape.KeyValueHeads == 0);
        Require(q.Columns == shape.Heads * shape.HeadSize && Same(o, q));
        Require(k.Columns == shape.KeyValueHeads * shape.HeadSize && k.DType == q.DType);
        Require(Same(v, k) && v.Stride == k.Stride);
    }
}
