using Forgetting.Backends.Contracts;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void GatherRows(Tensor table, Tensor rows, Tensor y)
    {
        Contract.GatherRows(table, rows, y);
        long bytes = (long)y.Columns * y.DType.Size();
        int width = AccessBytes(table.Pointer | y.Pointer | (nint)bytes);
        LaunchRows("gather_rows", AccessSuffix(width), y.Rows, (int)(bytes / width), table, rows, y, (int)(bytes / width));
    }

    /// <inheritdoc/>
    public void ScatterRows(ColumnView x, Tensor rows, Tensor y)
    {
        Contract.ScatterRows(x, rows, y);
        long bytes = (long)x.Columns * x.DType.Size(), stride = (long)x.Stride * x.DType.Size();
        int width = AccessBytes(x.Pointer | y.Pointer | (nint)(bytes | stride));
        LaunchRows(
            "scatter_rows", AccessSuffix(width), x.Rows, (int)(bytes / width), x, (int)(stride / width), rows, y, (int)(bytes / width));
    }

    /// <inheritdoc/>
    public void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
        Contract.CopyColumns(source, sourceColumn, destination, destinationColumn, count);
        int size = source.DType.Size();
        nint from = source.Pointer + (nint)((long)sourceColumn * size), to = destination.Pointer + (nint)((long)destinationColumn * size);
        long bytes = (long)count * size, stride = (long)source.Columns * size, destinationStride = (long)destination.Columns * size;
        int width = AccessBytes(from | to | (nint)(bytes | stride | destinationStride));
        LaunchRows(
            "copy_columns", AccessSuffix(width), source.Rows, (int)(bytes / width),
            from, (int)(stride / width), to, (int)(destinationStride / width), (int)(bytes / width));
    }

    /// <inheritdoc/>
    public void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse)
    {
        Contract.Rope(x, positions, cosine, sine, headSize);
        int heads = x.Columns / headSize;
        LaunchRows(
            "rope", Suffix(x.DType), x.Rows, Blocks(heads * cosine.Columns, Wide(x.DType)),
            x, positions, cosine, sine, heads, headSize, 2 * cosine.Columns, x.Stride, inverse ? -1f : 1f);
    }

    /// <inheritdoc/>
    public void SegmentMean(Tensor x, Tensor offsets, Tensor y)
    {
        Contract.SegmentMean(x, offsets, y);
        nint partials = ColumnPartials(x, offsets);
        if (y.Count > 0)
        {
            _device.Launch(
                "segment_mean", "f32", new(Blocks(y.Columns, BlockThreads), y.Rows), BlockThreads, 0, partials, offsets, y, y.Columns);
        }
    }

    /// <inheritdoc/>
    public void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX)
    {
        Contract.SegmentMeanBackward(dY, offsets, dX);
        LaunchRows("segment_mean_backward", Suffix(dX.DType), dX.Rows, Blocks(dX.Columns, 4), dY, offsets, dY.Rows, dX, dX.Columns);
    }

    // The widest access that divides every address and length in `bits`, which holds them all or-ed together.
    private static int AccessBytes(nint bits) => (bits & 15) == 0 ? 16 : (bits & 3) == 0 ? 4 : 2;

    private static string AccessSuffix(int bytes) => bytes switch { 16 => "x128", 4 => "x32", _ => "x16" };
}
