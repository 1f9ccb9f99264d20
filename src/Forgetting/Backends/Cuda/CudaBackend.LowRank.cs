using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    // As in lora.cu and lora_f32.cu.
    private const int LoraTile = 64;

    // Rows of a split of the gradient's sum: at least so many, in slabs.
    private const int LoraSplitRows = 128;
    private const int LoraSlabRows = 32;

    /// <inheritdoc/>
    public void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low)
    {
        Contract.LoraDown(x, mask, a, low);
        if (low.Count > 0)
        {
            int rows = x.DType == DType.BFloat16 ? 16 : 32;
            _device.Launch(
                "lora_down", Suffix(x.DType), new(Blocks(x.Rows, rows), Blocks(a.Rows, LoraTile)), BlockThreads, 0,
                x, mask.RowKeys, mask.Seed, mask.Stream, Threshold(mask), a, scale / (1 - mask.Rate), low, x.Rows, x.Columns, a.Rows);
        }
    }

    /// <inheritdoc/>
    public void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
        Contract.LoraDownGradient(dLow, x, mask, gradient);
        if (gradient.Count == 0 || x.Rows == 0)
            return;

        // Enough splits to occupy the card twice.
        Grid tiles = new(Blocks(x.Columns, LoraTile), Blocks(gradient.Rows, x.DType == DType.BFloat16 ? LoraTile : LoraTile / 2));
        int splits = Math.Clamp(Blocks(2 * _device.Multiprocessors, tiles.X * tiles.Y), 1, Blocks(x.Rows, LoraSplitRows));
        int rows = Blocks(Blocks(x.Rows, splits), LoraSlabRows) * LoraSlabRows;
        splits = Blocks(x.Rows, rows);
        nint partials = Scratch(splits * gradient.Count * sizeof(float));
        _device.Launch(
            "lora_down_gradient", Suffix(x.DType), tiles with { Z = splits }, BlockThreads, 0,
            dLow, x, mask.RowKeys, mask.Seed, mask.Stream, Threshold(mask), 1 / (1 - mask.Rate), partials, x.Rows, x.Columns, gradient.Rows,
            rows);
        int columns = checked((int)gradient.Count);
        LaunchColumns("column_accumulate", columns, partials, gradient, splits * ColumnTileRows, columns);
    }

    /// <inheritdoc/>
    public void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, float scale, Tensor factors)
    {
        Contract.MagnitudeFactors(squares, magnitude, b, cross, gram, factors);
        _device.Launch(
            "magnitude_factors", Suffix(b.DType), new(Blocks(b.Rows, BlockThreads)), BlockThreads, 0,
            squares, magnitude, b, cross, gram, scale, factors, b.Rows, b.Columns);
    }

    /// <inheritdoc/>
    public void Magnitude(ColumnView y, Tensor factors, Tensor unit)
    {
        Contract.Magnitude(y, factors, unit);
        LaunchRows("magnitude", Suffix(y.DType), y.Rows, Blocks(y.Columns, Wide(y.DType)), y, factors, unit, y.Columns, y.Stride);
    }

    /// <inheritdoc/>
    public void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV)
    {
        Contract.MagnitudeBackward(dY, factors, unit, dV);
        LaunchRows(
            "magnitude_backward", Suffix(dY.DType), dY.Rows, Blocks(dY.Columns, Wide(dY.DType)),
            dY, factors, unit, dV, dY.Columns, dY.Stride, dV.Stride);
    }

    /// <inheritdoc/>
    public void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX)
    {
        Contract.LoraDownInput(dLow, a, mask, dX);
        if (dX.Count > 0)
        {
            int rows = dX.DType == DType.BFloat16 ? LoraTile : LoraTile / 2;
            _device.Launch(
                "lora_down_input", Suffix(dX.DType), new(Blocks(dX.Rows, rows), Blocks(dX.Columns, LoraTile)), BlockThreads, 0,
                dLow, a, mask.RowKeys, mask.Seed, mask.Stream, Threshold(mask), 1 / (1 - mask.Rate), dX, dX.Rows, dX.Columns, a.Rows);
        }
    }

    private static uint Threshold(DropoutMask mask) => (uint)Math.Ceiling(mask.Rate * 4294967296.0);
}
