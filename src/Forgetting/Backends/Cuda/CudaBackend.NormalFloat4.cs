using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <summary>Elements of a quantised weight in storage type at a time; what a product of one needs as scratch.</summary>
    internal const int SlabElements = 1 << 24;

    /// <summary>
    /// Bytes of scratch that a product takes whose B is quantised.
    /// </summary>
    internal static long SlabBytes(Tensor b, bool transposeB, DType storageType) =>
        (long)SlabStep(b, transposeB) * (transposeB ? b.Columns : b.Rows) * storageType.Size();

    // Rows of W at a time where they are columns of C, columns where those are.
    private static int SlabStep(Tensor b, bool transposeB)
    {
        (int ofC, int other) = transposeB ? (b.Rows, b.Columns) : (b.Columns, b.Rows);
        int step = Math.Clamp(SlabElements / Math.Max(1, other), 1, ofC);
        return step == ofC ? step : Math.Max(8, step / 8 * 8);
    }

    // Each slab is dequantised for no longer than its product takes: a launch and a product, which the stream orders.
    private void QuantizedGemm(
        ColumnView a, bool transposeA, Tensor b, bool transposeB, ColumnView c, int k, float alpha, float beta)
    {
        int step = SlabStep(b, transposeB);
        nint scratch = Scratch(SlabBytes(b, transposeB, a.DType));
        for (int start = 0; start < c.Columns; start += step)
        {
            int count = Math.Min(step, c.Columns - start);
            var slab = new Tensor(scratch, transposeB ? new Shape(count, b.Columns) : new Shape(b.Rows, count), a.DType);
            Dequantize(b, transposeB ? (long)start * b.Columns : start, slab);
            ColumnView part = c with { Pointer = c.Pointer + (start * c.DType.Size()), Shape = new Shape(c.Rows, count) };
            _device.Gemm(a, transposeA, slab, transposeB, part, k, alpha, beta);
        }
    }

    private void Dequantize(Tensor weight, long first, Tensor part)
    {
        var layout = new NormalFloat4Layout(weight.Count);
        LaunchFlat(
            "dequantize_nf4", Suffix(part.DType), part.Count, 8, weight.Pointer, weight.Pointer + NormalFloat4Layout.Groups,
            weight.Pointer + (nint)layout.Codes, weight.Pointer + (nint)layout.ScaleCodes, first, part.Rows, part.Columns, weight.Columns,
            part);
    }
}
