using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;
using TensorPrimitives = System.Numerics.Tensors.TensorPrimitives;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
        Contract.RmsNorm(x, residual, gain, y, rstd);
        ForEachRow(
            new RmsNormRow(SummedRows(x, residual), Floats(gain), offset, epsilon, Output(y), Output(rstd), x.Columns), x.Rows, x.Columns);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        Contract.RmsNormBackward(dY, x, gain, rstd, dX, gainProduct);
        ForEachRow(
            new RmsNormGradientRow(Floats(dY), Floats(x), Floats(gain), offset, Floats(rstd), Output(dX), Output(gainProduct), x.Columns),
            x.Rows, 2 * x.Columns);
    }

    // x is written only where there is something to add.
    private ResidualRows SummedRows(Tensor x, Tensor residual) =>
        new(residual.IsEmpty ? Floats(x) : Output(x), Floats(residual), x.Columns);

    /// <summary>The rows that a norm reads: x += residual, which may be null.</summary>
    private readonly struct ResidualRows(float* x, float* residual, int columns)
    {
        /// <summary>The row's sum, which stays in the first-level cache for the norm.</summary>
        public float* Summed(int row)
        {
            float* sum = x + ((long)row * columns);
            if (residual != null)
            {
                var target = new Span<float>(sum, columns);
                TensorPrimitives.Add(target, new ReadOnlySpan<float>(residual + ((long)row * columns), columns), target);
            }

            return sum;
        }
    }

    private readonly struct RmsNormRow(ResidualRows x, float* gain, float offset, float epsilon, float* y, float* rstd, int columns)
        : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* source = x.Summed(row);
            float* target = y + ((long)row * columns);
            float scale = 1 / MathF.Sqrt((Lanes.Dot(source, source, columns) / columns) + epsilon);
            rstd[row] = scale;
            Vector256<float> shift = Vector256.Create(offset);
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Lanes.Store(Lanes.Load(source + i, lanes) * scale * (Lanes.Load(gain + i, lanes) + shift), target + i, lanes);
            }
        }
    }

    /// <summary>dX += rstd·(dx̂ − x̂·mean(dx̂∘x̂)) with dx̂ = (offset + gain) ∘ dY.</summary>
    private readonly struct RmsNormGradientRow(
        float* dY, float* x, float* gain, float offset, float* rstd, float* dX, float* gainProduct, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            long start = (long)row * columns;
            float scale = rstd[row];
            float mean = Lanes.Sum(new TripleProduct(dY + start, gain, offset, x + start), columns) * scale / columns;
            Vector256<float> shift = Vector256.Create(offset);
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Vector256<float> normal = Lanes.Load(x + start + i, lanes) * scale;
                Vector256<float> d = Lanes.Load(dY + start + i, lanes);
                Vector256<float> change = (d * (Lanes.Load(gain + i, lanes) + shift)) - (normal * mean);
                Lanes.Store(Lanes.MultiplyAdd(change, Vector256.Create(scale), Lanes.Load(dX + start + i, lanes)), dX + start + i, lanes);
                if (gainProduct != null)
                    Lanes.Store(d * normal, gainProduct + start + i, lanes);
            }
        }
    }

    private readonly struct TripleProduct(float* a, float* b, float offset, float* c) : ITerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes) =>
            Lanes.MultiplyAdd(
                Lanes.Load(a + i, lanes) * (Lanes.Load(b + i, lanes) + Vector256.Create(offset)), Lanes.Load(c + i, lanes), sum);
    }
}
