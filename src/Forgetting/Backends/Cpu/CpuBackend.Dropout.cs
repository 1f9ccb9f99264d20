using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Dropout(Tensor x, Tensor rowKeys, DropoutMask mask, Tensor y)
    {
        Require(x.Shape == y.Shape && rowKeys.Count == x.Rows);
        ForEachRow(new DropoutRow(Floats(x), Ints(rowKeys), mask, Floats(y), x.Columns), x.Rows, 8 * x.Columns);
    }

    private readonly struct DropoutRow(float* x, int* rowKeys, DropoutMask mask, float* y, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            long start = (long)row * columns;

            // bits·2⁻³² ≥ rate in integers; rate < 1 − 2⁻²⁵ as a float, so the threshold fits.
            uint threshold = (uint)Math.Ceiling(mask.Rate * 4294967296.0);
            float scale = 1 / (1 - mask.Rate);
            uint* bits = stackalloc uint[4];
            for (int column = 0; column < columns; column += 4)
            {
                (bits[0], bits[1], bits[2], bits[3]) = Philox.Words(mask.Seed, (uint)rowKeys[row], (uint)column / 4, (uint)mask.Stream, 0);
                for (int i = 0; i < Math.Min(4, columns - column); i++)
                {
                    y[start + column + i] = bits[i] >= threshold ? x[start + column + i] * scale : 0;
                }
            }
        }
    }
}
