using Forgetting.Backends.Contracts;
using Forgetting.Tensors;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <summary>What happens to one row.</summary>
    private interface IRowOperation
    {
        void Apply(int row, byte* scratch);
    }

    /// <inheritdoc/>
    public void GatherRows(Tensor table, Tensor rows, Tensor y)
    {
        Contract.GatherRows(table, rows, y, widens: true);
        if (table.DType == DType.BFloat16)
            ForEachRow(new GatherWidenedRow((ushort*)table.Pointer, Ints(rows), Output(y), y.Columns), y.Rows, y.Columns);
        else
            ForEachRow(new GatherRow(Floats(table), Ints(rows), Output(y), y.Columns), y.Rows, y.Columns);
    }

    /// <inheritdoc/>
    public void ScatterRows(ColumnView x, Tensor rows, Tensor y)
    {
        Contract.ScatterRows(x, rows, y);
        ForEachRow(new ScatterRow(Floats(x), x.Stride, Ints(rows), Output(y), y.Columns), x.Rows, y.Columns);
    }

    /// <inheritdoc/>
    public void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
        Contract.CopyColumns(source, sourceColumn, destination, destinationColumn, count);
        ForEachRow(
            new CopyRowPart(
                Floats(source) + sourceColumn, source.Columns, Output(destination) + destinationColumn, destination.Columns, count),
            source.Rows,
            count);
    }

    /// <inheritdoc/>
    public void AddBias(ColumnView y, Tensor bias)
    {
        Contract.AddBias(y, bias);
        ForEachRow(new AddToRow(Output(y), y.Stride, Floats(bias), y.Columns), y.Rows, y.Columns);
    }

    /// <inheritdoc/>
    public void SegmentMean(Tensor x, Tensor offsets, Tensor y)
    {
        Contract.SegmentMean(x, offsets, y);
        ForEachRow(new SegmentMeanRow(Floats(x), Ints(offsets), Output(y), x.Columns), y.Rows, x.Count / Math.Max(y.Rows, 1));
    }

    /// <inheritdoc/>
    public void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX)
    {
        Contract.SegmentMeanBackward(dY, offsets, dX);
        ForEachRow(new SegmentMeanGradientRow(Floats(dY), Ints(offsets), Output(dX), dX.Columns), dY.Rows, dX.Count / Math.Max(dY.Rows, 1));
    }

    /// <param name="cost">About how many elements a row touches: decides how many rows make a task.</param>
    private void ForEachRow<T>(T operation, int rows, long cost, long scratchBytes = 0)
        where T : unmanaged, IRowOperation
    {
        int perTask = (int)Math.Clamp((1 << 14) / Math.Max(cost, 1), 1, Math.Max(rows, 1));
        _pool.Run(new RowJob<T>(operation, rows, perTask), Blocks(rows, perTask), scratchBytes);
    }

    private readonly struct RowJob<T>(T operation, int rows, int perTask) : IJob
        where T : unmanaged, IRowOperation
    {
        public void Run(int index, byte* scratch)
        {
            int end = Math.Min((index + 1) * perTask, rows);
            for (int row = index * perTask; row < end; row++)
            {
                operation.Apply(row, scratch);
            }
        }
    }

    private readonly struct GatherRow(float* table, int* rows, float* y, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch) =>
            new ReadOnlySpan<float>(table + ((long)rows[row] * columns), columns)
                .CopyTo(new Span<float>(y + ((long)row * columns), columns));
    }

    private readonly struct GatherWidenedRow(ushort* table, int* rows, float* y, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch) =>
            WidenRow(table + ((long)rows[row] * columns), y + ((long)row * columns), columns);
    }

    private readonly struct ScatterRow(float* x, int stride, int* rows, float* y, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch) =>
            new ReadOnlySpan<float>(x + ((long)row * stride), columns).CopyTo(new Span<float>(y + ((long)rows[row] * columns), columns));
    }

    private readonly struct CopyRowPart(float* source, int sourceStride, float* destination, int destinationStride, int count)
        : IRowOperation
    {
        public void Apply(int row, byte* scratch) =>
            new ReadOnlySpan<float>(source + ((long)row * sourceStride), count)
                .CopyTo(new Span<float>(destination + ((long)row * destinationStride), count));
    }

    private readonly struct AddToRow(float* y, int stride, float* bias, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            var target = new Span<float>(y + ((long)row * stride), columns);
            TensorPrimitives.Add(target, new ReadOnlySpan<float>(bias, columns), target);
        }
    }

    private readonly struct SegmentMeanRow(float* x, int* offsets, float* y, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            var mean = new Span<float>(y + ((long)row * columns), columns);
            mean.Clear();
            for (int t = offsets[row]; t < offsets[row + 1]; t++)
            {
                TensorPrimitives.Add(mean, new ReadOnlySpan<float>(x + ((long)t * columns), columns), mean);
            }

            TensorPrimitives.Multiply(mean, 1f / Math.Max(offsets[row + 1] - offsets[row], 1), mean);
        }
    }

    private readonly struct SegmentMeanGradientRow(float* dY, int* offsets, float* dX, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float share = 1f / Math.Max(offsets[row + 1] - offsets[row], 1);
            var gradient = new ReadOnlySpan<float>(dY + ((long)row * columns), columns);
            for (int t = offsets[row]; t < offsets[row + 1]; t++)
            {
                var target = new Span<float>(dX + ((long)t * columns), columns);
                TensorPrimitives.MultiplyAdd(gradient, share, target, target);
            }
        }
    }
}
