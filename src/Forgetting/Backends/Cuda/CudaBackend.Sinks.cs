using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    // As in columns.cu and head_rows.cu.
    private const int ColumnTileRows = 128;
    private const int HeadTileRows = 16;
    private const int HeadTileColumns = 512;

    /// <inheritdoc/>
    public void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum)
    {
        Contract.SquareAccumulateMatrix(x, dY, offsets, sum);
        if (sum.Count > 0 && x.Rows > 0)
        {
            var tile = FisherTile.Square(x.DType);
            _device.Launch(
                "fisher_square", Suffix(x.DType), tile.Grid(sum.Shape), BlockThreads, tile.SharedBytes,
                x, dY, offsets, (int)offsets.Count - 1, sum, sum.Columns, sum.Rows, x.Stride, dY.Stride);
        }
    }

    /// <inheritdoc/>
    public void ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        int sequences = Contract.ProjectMatrix(x, dY, offsets, a, b, result);
        if (a.Count == 0 || x.Rows == 0)
            return;

        var tile = FisherTile.Project(x.DType);
        Grid grid = tile.Grid(a.Shape);
        int blocks = checked(grid.X * grid.Y);
        nint partials = Scratch((long)blocks * sequences * 2 * sizeof(float));
        _device.Launch(
            "fisher_project", Suffix(x.DType), grid, BlockThreads, tile.SharedBytes, x, dY, offsets, sequences, a, b, partials, a.Columns,
            a.Rows, x.Stride, dY.Stride);
        _device.Launch("add_pairs", "f32", new(sequences), BlockThreads, 0, partials, default(Tensor), blocks, result);
    }

    /// <inheritdoc/>
    public void AccumulateColumns(ColumnView dY, Tensor gradient)
    {
        Contract.AccumulateColumns(dY, gradient);
        if (dY.Count > 0)
        {
            nint partials = ColumnPartials(dY, default);
            LaunchColumns("column_accumulate", dY.Columns, partials, gradient, dY.Rows, dY.Columns);
        }
    }

    /// <inheritdoc/>
    public void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum)
    {
        Contract.SquareAccumulateColumns(dY, offsets, sum);
        if (dY.Count > 0)
        {
            nint partials = ColumnPartials(dY, offsets);
            LaunchColumns("column_square", dY.Columns, partials, offsets, (int)offsets.Count - 1, sum, dY.Columns);
        }
    }

    /// <inheritdoc/>
    public void ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        int sequences = Contract.ProjectColumns(dY, offsets, a, b, result);
        if (dY.Count > 0)
        {
            nint partials = ColumnPartials(dY, offsets);
            _device.Launch("column_project", "f32", new(sequences), BlockThreads, 0, partials, offsets, a, b, result, dY.Columns);
        }
    }

    /// <inheritdoc/>
    public void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default)
    {
        Contract.AccumulateRows(rows, dY, gradient, rounding);
        if (dY.Count == 0)
            return;

        (nint previous, nint next) = RowLinks(rows, 0, out _);
        if (gradient.DType == DType.BFloat16)
        {
            LaunchRows(
                "embedding_accumulate_rounded", Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, 4), rows, previous, next, dY, gradient,
                dY.Columns, rounding.Key, rounding.Stream);
        }
        else
        {
            LaunchRows(
                "embedding_accumulate", Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, 4), rows, previous, next, dY, gradient, dY.Columns);
        }
    }

    /// <inheritdoc/>
    public void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
        Contract.SquareAccumulateRows(rows, dY, offsets, head, sum);
        if (dY.Count > 0)
        {
            (nint previous, nint next) = RowLinks(rows, 0, out _);
            LaunchRows(
                "embedding_square", Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, 4),
                rows, previous, next, dY, offsets, (int)offsets.Count - 1, head, sum, dY.Columns);
        }
    }

    /// <inheritdoc/>
    public void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
        int sequences = Contract.ProjectRows(rows, dY, offsets, head, a, b, result);
        if (dY.Count > 0)
        {
            (nint previous, nint next) = RowLinks(rows, 2L * dY.Rows * sizeof(float), out nint partials);
            LaunchRows(
                "embedding_project", Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, 4),
                rows, previous, next, dY, offsets, sequences, head, a, b, partials, dY.Columns);
            _device.Launch("add_pairs", "f32", new(sequences), BlockThreads, 0, partials, offsets, 0, result);
        }
    }

    /// <inheritdoc/>
    public void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
        Contract.HeadRows(dLogits, x, headOffsets, rows, offsets, y);
        if (y.Count > 0)
        {
            int sequences = (int)offsets.Count - 1;
            (nint previous, _) = RowLinks(rows, 0, out _);
            _device.Launch(
                "head_rows", Suffix(x.DType), new((y.Rows / HeadTileRows) + sequences, Blocks(y.Columns, HeadTileColumns)), 128, 0,
                dLogits, x, headOffsets, rows, previous, offsets, sequences, y, dLogits.Columns, y.Columns);
        }
    }

    // Sums of each tile of 128 rows of each sequence (of all rows where there are no offsets) in scratch memory: [slots, C].
    private nint ColumnPartials(ColumnView dY, Tensor offsets)
    {
        int sequences = offsets.IsEmpty ? 1 : (int)offsets.Count - 1, slots = (dY.Rows / ColumnTileRows) + sequences;
        nint partials = Scratch((long)slots * dY.Columns * sizeof(float));
        if (dY.Count > 0)
        {
            _device.Launch(
                "column_partials", Suffix(dY.DType), new(Blocks(dY.Columns, 32 * Wide(dY.DType)), slots), BlockThreads, 0,
                dY, offsets, sequences, partials, dY.Rows, dY.Columns, dY.Stride);
        }

        return partials;
    }

    private void LaunchColumns(string kernel, int columns, params ReadOnlySpan<KernelArgument> arguments) =>
        _device.Launch(kernel, "f32", new(Blocks(columns, BlockThreads)), BlockThreads, 0, arguments);

    // Chains of equal ids in scratch memory, with `extra` bytes behind them.
    private (nint Previous, nint Next) RowLinks(Tensor rows, long extra, out nint behind)
    {
        int count = (int)rows.Count;
        nint previous = Scratch((2L * count * sizeof(int)) + extra);
        nint next = previous + (nint)((long)count * sizeof(int));
        behind = next + (nint)((long)count * sizeof(int));
        _device.Launch("row_links", "", new(Blocks(count, BlockThreads)), BlockThreads, 0, rows, previous, next, count);
        return (previous, next);
    }

    /// <summary>Tiles of fisher.cu and fisher_f32.cu.</summary>
    private readonly record struct FisherTile(int Rows, int Columns, int SharedBytes)
    {
        public static FisherTile Square(DType type) => type == DType.BFloat16 ? TensorCores(128, 128) : new(64, 64, 0);

        public static FisherTile Project(DType type) => type == DType.BFloat16 ? TensorCores(64, 128) : new(64, 64, 0);

        public Grid Grid(Shape weight) => new(Blocks(weight.Columns, Columns), Blocks(weight.Rows, Rows));

        private static FisherTile TensorCores(int rows, int columns) => new(rows, columns, 2 * 32 * (rows + columns + 16) * 2);
    }
}
