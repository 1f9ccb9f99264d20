using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
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
        private readonly uint _key0 = (uint)Ints(mask.Seed)[0];
        private readonly uint _key1 = (uint)Ints(mask.Seed)[1];

        // Columns whose words are drawn together: eight counters of four words.
        private const int Block = 32;

        public void Apply(int row, byte* scratch)
        {
            float* source = x + ((long)row * columns);
            float* target = y + ((long)row * columns);

            // bits·2⁻³² ≥ rate in integers; a rate below 1 is at most 1 − 2⁻²⁴ as a float, so the threshold fits.
            uint threshold = (uint)Math.Ceiling(mask.Rate * 4294967296.0);
            float scale = 1 / (1 - mask.Rate);
            uint* bits = stackalloc uint[Block];
            for (int column = 0; column < columns; column += Block)
            {
                Draw((uint)_rowKeys[row], (uint)column / 4, bits);
                for (int i = 0; i < Math.Min(Block, columns - column); i += Lanes.Count)
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

        /// <summary>The words of eight consecutive counters.</summary>
        private void Draw(uint rowKey, uint counter, uint* bits)
        {
            if (!Avx2.IsSupported)
            {
                for (uint i = 0; i < Block / 4; i++)
                {
                    (bits[4 * i], bits[(4 * i) + 1], bits[(4 * i) + 2], bits[(4 * i) + 3]) =
                        Philox.Words(((ulong)_key1 << 32) | _key0, rowKey, counter + i, (uint)mask.Stream, 0);
                }

                return;
            }

            // Philox.Words with a counter in each lane.
            Vector256<uint> a = Vector256.Create(rowKey);
            Vector256<uint> b = Vector256.Create(counter) + Vector256<uint>.Indices;
            Vector256<uint> c = Vector256.Create((uint)mask.Stream);
            Vector256<uint> d = Vector256<uint>.Zero;
            uint key0 = _key0;
            uint key1 = _key1;
            for (int round = 0; round < 10; round++)
            {
                (Vector256<uint> highA, Vector256<uint> lowA) = Multiply(a, Philox.MultiplierA);
                (Vector256<uint> highC, Vector256<uint> lowC) = Multiply(c, Philox.MultiplierB);
                (a, b, c, d) = (highC ^ b ^ Vector256.Create(key0), lowC, highA ^ d ^ Vector256.Create(key1), lowA);
                key0 += Philox.WeylA;
                key1 += Philox.WeylB;
            }

            // From one word of all counters to all words of one counter.
            Vector256<uint> ab0 = Avx2.UnpackLow(a, b), ab1 = Avx2.UnpackHigh(a, b), cd0 = Avx2.UnpackLow(c, d),
                cd1 = Avx2.UnpackHigh(c, d);
            Vector256<uint> q0 = Avx2.UnpackLow(ab0.AsUInt64(), cd0.AsUInt64()).AsUInt32(),
                q1 = Avx2.UnpackHigh(ab0.AsUInt64(), cd0.AsUInt64()).AsUInt32();
            Vector256<uint> q2 = Avx2.UnpackLow(ab1.AsUInt64(), cd1.AsUInt64()).AsUInt32(),
                q3 = Avx2.UnpackHigh(ab1.AsUInt64(), cd1.AsUInt64()).AsUInt32();
            Avx2.Permute2x128(q0, q1, 0x20).Store(bits);
            Avx2.Permute2x128(q2, q3, 0x20).Store(bits + 8);
            Avx2.Permute2x128(q0, q1, 0x31).Store(bits + 16);
            Avx2.Permute2x128(q2, q3, 0x31).Store(bits + 24);
        }

        /// <summary>High and low words of eight 32 × 32-bit products.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static (Vector256<uint> High, Vector256<uint> Low) Multiply(Vector256<uint> value, uint factor)
        {
            Vector256<uint> factors = Vector256.Create(factor);
            Vector256<ulong> even = Avx2.Multiply(value, factors);
            Vector256<ulong> odd = Avx2.Multiply((value.AsUInt64() >> 32).AsUInt32(), factors);
            Vector256<uint> high = Avx2.Blend((even >> 32).AsUInt32(), odd.AsUInt32(), 0b10101010);
            Vector256<uint> low = Avx2.Blend(even.AsUInt32(), (odd << 32).AsUInt32(), 0b10101010);
            return (high, low);
        }
    }
}
