using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Rows whose dropped copy exists at a time. The gradient's sum is cut there too, so the number must not depend on the threads.
    private const int DroppedRows = 768;

    /// <inheritdoc/>
    public void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low)
    {
        Contract.LoraDown(x, mask, a, low);

        // Rows are independent here: more of them where there are more threads to share a product.
        int step = Part(x.Rows, Math.Max(DroppedRows, DroppedRows / 4 * Threads));
        for (int row = 0; row < x.Rows; row += step)
        {
            int rows = Math.Min(step, x.Rows - row);
            Gemm(Dropped(x, mask, row, rows), false, a, true, low.RowRange(row, rows), scale);
        }
    }

    /// <inheritdoc/>
    public void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
        Contract.LoraDownGradient(dLow, x, mask, gradient);
        int step = Part(x.Rows, DroppedRows);
        for (int row = 0; row < x.Rows; row += step)
        {
            int rows = Math.Min(step, x.Rows - row);
            Gemm(dLow.RowRange(row, rows), true, Dropped(x, mask, row, rows), false, gradient, beta: 1);
        }
    }

    /// <inheritdoc/>
    public void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX)
    {
        Contract.LoraDownInput(dLow, a, mask, dX);
        int step = Part(dX.Rows, Math.Max(DroppedRows, DroppedRows / 4 * Threads));
        for (int row = 0; row < dX.Rows; row += step)
        {
            int rows = Math.Min(step, dX.Rows - row);
            Tensor product = Temporary(rows, dX.Columns);
            Gemm(dLow.RowRange(row, rows), false, a, false, product);
            Drop(product, mask, row, dX.RowRange(row, rows), add: true);
        }
    }

    // Equal parts of at most so many rows.
    private static int Part(int rows, int most) => Blocks(rows, Math.Max(Blocks(rows, most), 1));

    private Tensor Temporary(int rows, int columns) =>
        new((nint)_workspace.Take<float>((long)rows * columns), new Shape(rows, columns), DType.Float32);

    // drop(x) of some rows, until the next call.
    private Tensor Dropped(Tensor x, DropoutMask mask, int row, int rows)
    {
        Tensor dropped = Temporary(rows, x.Columns);
        Drop(x.RowRange(row, rows), mask, row, dropped, add: false);
        return dropped;
    }

    private void Drop(Tensor x, DropoutMask mask, int firstRow, Tensor y, bool add) =>
        ForEachRow(new DropoutRow(Floats(x), mask, firstRow, Output(y), x.Columns, add), x.Rows, 4L * x.Columns);

    // y = drop(x), or y += drop(x); the mask is that of the rows from firstRow on.
    private readonly struct DropoutRow(float* x, DropoutMask mask, int firstRow, float* y, int columns, bool add) : IRowOperation
    {
        private readonly int* _rowKeys = Ints(mask.RowKeys) + firstRow;
        private readonly ulong _key = KeyOf(mask.Seed);

        public void Apply(int row, byte* scratch)
        {
            float* source = x + ((long)row * columns);
            float* target = y + ((long)row * columns);

            // bits·2⁻³² ≥ rate in integers; a rate below 1 is at most 1 − 2⁻²⁴ as a float, so the threshold fits.
            uint threshold = (uint)Math.Ceiling(mask.Rate * 4294967296.0);
            float scale = 1 / (1 - mask.Rate);
            uint* bits = stackalloc uint[PhiloxLanes.Words];
            for (int column = 0; column < columns; column += PhiloxLanes.Words)
            {
                PhiloxLanes.Draw(_key, (uint)_rowKeys[row], (uint)column / 4, (uint)mask.Stream, bits);
                for (int i = 0; i < Math.Min(PhiloxLanes.Words, columns - column); i += Lanes.Count)
                {
                    int lanes = Math.Min(Lanes.Count, columns - column - i);
                    Vector256<float> kept = Vector256.GreaterThanOrEqual(Vector256.Load(bits + i), Vector256.Create(threshold)).AsSingle();
                    kept &= Lanes.Load(source + column + i, lanes) * scale;
                    if (add)
                        kept += Lanes.Load(target + column + i, lanes);

                    Lanes.Store(kept, target + column + i, lanes);
                }
            }
        }
    }
}
