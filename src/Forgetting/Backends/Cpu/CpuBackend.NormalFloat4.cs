using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Elements of a weight in Float32 at a time.
    private const int SlabElements = 1 << 20;

    private readonly Workspace _slab = new();

    /// <summary>
    /// A product whose B is quantised: some rows of W at a time where they are columns of C, some columns of W where those are, each in
    /// Float32 for no longer than its product takes.
    /// </summary>
    private void QuantizedGemm(in Product product, Tensor b)
    {
        (int rows, int columns) = (b.Rows, b.Columns);
        int other = product.TransposeB ? columns : rows, step = Math.Clamp(SlabElements / Math.Max(1, other), 1, product.N);
        float* slab = _slab.Take<float>((long)step * other);
        for (int start = 0; start < product.N; start += step)
        {
            int count = Math.Min(step, product.N - start);
            var part = product.TransposeB
                ? new WeightPart((long)start * columns, count, columns, columns)
                : new WeightPart(start, rows, count, columns);
            Dequantize(b, part, slab);
            _products.Gemm(new Product(
                product.TransposeA, product.TransposeB, product.M, count, product.K, product.Alpha, product.A, product.Lda, slab,
                part.Columns, product.Beta, product.C + start, product.Ldc));
        }
    }

    private void Dequantize(Tensor weight, WeightPart part, float* values)
    {
        var layout = new NormalFloat4Layout(weight.Count);
        _pool.Run(new DequantizeJob((byte*)weight.Pointer, layout, part, values), Blocks(part.Rows, DequantizeJob.RowsOf(part)));
    }

    // Of a matrix whose rows are Stride elements apart, Rows and Columns from element First on.
    private readonly record struct WeightPart(long First, int Rows, int Columns, int Stride);

    private readonly struct DequantizeJob(byte* weight, NormalFloat4Layout layout, WeightPart part, float* values) : IJob
    {
        private const int Task = 1 << 14;

        public static int RowsOf(WeightPart part) => Math.Max(1, Task / Math.Max(1, part.Columns));

        public void Run(int index, byte* scratch)
        {
            int rows = RowsOf(part), end = Math.Min(part.Rows, (index + 1) * rows);
            for (int row = index * rows; row < end; row++)
            {
                Row(part.First + ((long)row * part.Stride), values + ((long)row * part.Columns));
            }
        }

        private void Row(long element, float* row)
        {
            var levels = (float*)(weight + NormalFloat4Layout.Levels);
            var map = (float*)(weight + NormalFloat4Layout.Map);
            var groups = (float*)(weight + NormalFloat4Layout.Groups);
            float offset = *(float*)(weight + NormalFloat4Layout.Offset);
            byte* codes = weight + layout.Codes, scaleCodes = weight + layout.ScaleCodes;
            for (int column = 0; column < part.Columns;)
            {
                (long block, long within) = Math.DivRem(element, NormalFloat4Layout.Block);
                float scale = (map[scaleCodes[block]] * groups[block / NormalFloat4Layout.Group]) + offset;
                int count = (int)Math.Min(part.Columns - column, NormalFloat4Layout.Block - within);
                for (int i = 0; i < count; i++, element++)
                {
                    row[column + i] = levels[(codes[element / 2] >> (element % 2 == 0 ? 4 : 0)) & 15] * scale;
                }

                column += count;
            }
        }
    }
}
