using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
        Contract.LayerNorm(x, residual, gain, bias, y, statistics);
        ForEachRow(
            new LayerNormRow(SummedRows(x, residual), Floats(gain), Floats(bias), epsilon, Output(y), Output(statistics), x.Columns),
            x.Rows, x.Columns);
    }

    /// <inheritdoc/>
    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        Contract.LayerNormBackward(dY, x, gain, statistics, dX, gainProduct);
        ForEachRow(
            new LayerNormGradientRow(Floats(dY), Floats(x), Floats(gain), Floats(statistics), Output(dX), Output(gainProduct), x.Columns),
            x.Rows,
            2 * x.Columns);
    }

    private readonly struct LayerNormRow(ResidualRows x, float* gain, float* bias, float epsilon, float* y, float* statistics, int columns)
        : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* source = x.Summed(row);
            float* target = y + ((long)row * columns);

            // The variance is summed about the mean: E[x²] − mean² would cancel.
            float mean = Lanes.Sum(new Value(source), columns) / columns;
            float scale = 1 / MathF.Sqrt((Lanes.Sum(new SquaredDeviation(source, mean), columns) / columns) + epsilon);
            statistics[2L * row] = mean;
            statistics[(2L * row) + 1] = scale;
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Vector256<float> normal = (Lanes.Load(source + i, lanes) - Vector256.Create(mean)) * scale;
                Lanes.Store(Lanes.MultiplyAdd(normal, Lanes.Load(gain + i, lanes), Lanes.Load(bias + i, lanes)), target + i, lanes);
            }
        }
    }

    /// <summary>dX += rstd·(dx̂ − mean(dx̂) − x̂·mean(dx̂∘x̂)) with dx̂ = gain ∘ dY.</summary>
    private readonly struct LayerNormGradientRow(
        float* dY, float* x, float* gain, float* statistics, float* dX, float* gainProduct, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            long start = (long)row * columns;
            float mean = statistics[2L * row];
            float scale = statistics[(2L * row) + 1];
            float meanGradient = Lanes.Dot(dY + start, gain, columns) / columns;
            float meanProduct = Lanes.Sum(new ProductWithDeviation(dY + start, gain, x + start, mean), columns) * scale / columns;
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Vector256<float> normal = (Lanes.Load(x + start + i, lanes) - Vector256.Create(mean)) * scale;
                Vector256<float> d = Lanes.Load(dY + start + i, lanes);
                Vector256<float> change = (d * Lanes.Load(gain + i, lanes)) - Vector256.Create(meanGradient) - (normal * meanProduct);
                Lanes.Store(Lanes.MultiplyAdd(change, Vector256.Create(scale), Lanes.Load(dX + start + i, lanes)), dX + start + i, lanes);
                if (gainProduct != null)
                    Lanes.Store(d * normal, gainProduct + start + i, lanes);
            }
        }
    }

    private readonly struct Value(float* x) : ITerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes) => sum + Lanes.Load(x + i, lanes);
    }

    private readonly struct SquaredDeviation(float* x, float mean) : ITerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes)
        {
            Vector256<float> deviation = Lanes.Load(x + i, lanes) - Vector256.Create(mean);
            return Lanes.MultiplyAdd(deviation, deviation, sum);
        }
    }

    private readonly struct ProductWithDeviation(float* a, float* b, float* x, float mean) : ITerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes) =>
            Lanes.MultiplyAdd(Lanes.Load(a + i, lanes) * Lanes.Load(b + i, lanes), Lanes.Load(x + i, lanes) - Vector256.Create(mean), sum);
    }
}
