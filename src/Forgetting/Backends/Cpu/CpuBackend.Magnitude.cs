using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, float scale, Tensor factors)
    {
        Contract.MagnitudeFactors(squares, magnitude, b, cross, gram, factors);
        ForEachRow(
            new FactorsOfRow(
                Floats(squares), Floats(magnitude), Floats(b), Floats(cross), Floats(gram), scale, Output(factors), b.Rows, b.Columns),
            b.Rows, (long)b.Columns * b.Columns);
    }

    /// <inheritdoc/>
    public void Magnitude(ColumnView y, Tensor factors, Tensor unit)
    {
        Contract.Magnitude(y, factors, unit);
        ForEachRow(
            new MagnitudeRow(Output(y), y.Stride, Floats(factors), unit.IsEmpty ? null : Output(unit), y.Columns), y.Rows, y.Columns);
    }

    /// <inheritdoc/>
    public void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV)
    {
        Contract.MagnitudeBackward(dY, factors, unit, dV);
        ForEachRow(
            new MagnitudeGradientRow(Floats(dY), dY.Stride, Floats(factors), Output(unit), Output(dV), dV.Stride, dY.Columns),
            dY.Rows, dY.Columns);
    }

    private readonly struct FactorsOfRow(
        float* squares, float* magnitude, float* b, float* cross, float* gram, float scale, float* factors, int outputs, int rank)
        : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* weights = b + ((long)row * rank);
            float sum = squares[row];
            for (int k = 0; k < rank; k++)
            {
                float inner = 0;
                for (int l = 0; l < rank; l++)
                {
                    inner += gram[(k * rank) + l] * weights[l];
                }

                sum += weights[k] * ((2 * scale * cross[((long)k * outputs) + row]) + (scale * scale * inner));
            }

            float inverse = sum > 0 ? 1 / MathF.Sqrt(sum) : 0;
            factors[row] = inverse;
            factors[outputs + row] = magnitude[row] * inverse;
        }
    }

    private readonly struct MagnitudeRow(float* y, int stride, float* factors, float* unit, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* values = y + ((long)row * stride);
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                if (unit != null)
                {
                    Lanes.Store(
                        Lanes.Load(values + i, lanes) * Lanes.Load(factors + i, lanes), unit + ((long)row * columns) + i, lanes);
                }

                Lanes.Store(Lanes.Load(values + i, lanes) * Lanes.Load(factors + columns + i, lanes), values + i, lanes);
            }
        }
    }

    private readonly struct MagnitudeGradientRow(
        float* dY, int stride, float* factors, float* unit, float* dV, int target, int columns) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* gradient = dY + ((long)row * stride), product = unit + ((long)row * columns), result = dV + ((long)row * target);
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Lanes.Store(Lanes.Load(gradient + i, lanes) * Lanes.Load(product + i, lanes), product + i, lanes);
                Lanes.Store(Lanes.Load(gradient + i, lanes) * Lanes.Load(factors + columns + i, lanes), result + i, lanes);
            }
        }
    }
}
