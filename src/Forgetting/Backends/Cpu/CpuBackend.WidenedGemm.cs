using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Elements of a weight in Float32 at a time.
    private const int SlabElements = 1 << 20;

    private readonly Workspace _slab = new();

    /// <summary>
    /// A product whose B is in less than Float32: some rows of W at a time where they are columns of C, some columns of W where those are,
    /// each in Float32 for no longer than its product takes.
    /// </summary>
    private void WidenedGemm(in Product product, Tensor b)
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
            if (b.DType == DType.NormalFloat4)
            {
                Dequantize(b, part, slab);
            }
            else
            {
                _pool.Run(new WidenJob((ushort*)b.Pointer, part, slab), Blocks(part.Rows, part.TaskRows));
            }

            _products.Gemm(new Product(
                product.TransposeA, product.TransposeB, product.M, count, product.K, product.Alpha, product.A, product.Lda, slab,
                part.Columns, product.Beta, product.C + start, product.Ldc));
        }
    }

    // Of a matrix whose rows are Stride elements apart, Rows and Columns from element First on.
    private readonly record struct WeightPart(long First, int Rows, int Columns, int Stride)
    {
        private const int Task = 1 << 14;

        public int TaskRows => Math.Max(1, Task / Math.Max(1, Columns));
    }

    private readonly struct WidenJob(ushort* weight, WeightPart part, float* values) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            int rows = part.TaskRows, end = Math.Min(part.Rows, (index + 1) * rows);
            for (int row = index * rows; row < end; row++)
            {
                WidenRow(weight + part.First + ((long)row * part.Stride), values + ((long)row * part.Columns), part.Columns);
            }
        }
    }

    private static void WidenRow(ushort* source, float* destination, int count) =>
        ElementConversion.FromBFloat16(new ReadOnlySpan<ushort>(source, count), new Span<float>(destination, count));
}
