using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
        Contract.KlDivergence(logits, baseLogits, weights, divergences);
        ForEachRow(
            new KlDivergenceRow(Output(logits), Floats(baseLogits), logits.Columns, Floats(weights), Output(divergences)),
            logits.Rows, Math.Min(8L * logits.Columns, LargeRow));
    }

    /// <summary>
    /// One row, each of its two distributions relative to its largest logit: with s = z − max z, s0 alike of the base, KL =
    /// Σ e^{s0}(s0 − s) / Σ e^{s0} − ln Σ e^{s0} + ln Σ e^s.
    /// </summary>
    private readonly struct KlDivergenceRow(float* logits, float* baseLogits, int columns, float* weights, float* divergences)
        : IRowOperation
    {
        // Sums of a block are in Float32, their sum in double.
        private const int Block = 2048;

        public void Apply(int row, byte* scratch)
        {
            float* z = logits + ((long)row * columns), z0 = baseLogits + ((long)row * columns);
            float highest = z[IndexOfMax(z, columns)], highest0 = z0[IndexOfMax(z0, columns)];
            double sum = 0, sum0 = 0, cross = 0;
            for (int first = 0; first < columns; first += Block)
            {
                int count = Math.Min(Block, columns - first);
                sum += Lanes.Sum(new Mass(z + first, highest), count);
                sum0 += Lanes.Sum(new Mass(z0 + first, highest0), count);
                cross += Lanes.Sum(new Difference(z + first, z0 + first, highest, highest0), count);
            }

            divergences[row] = (float)((cross / sum0) - Math.Log(sum0) + Math.Log(sum));
            float w = weights[row];
            var own = Vector256.Create((float)(w / sum));
            var other = Vector256.Create((float)(-w / sum0));
            for (int i = 0; i < columns; i += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, columns - i);
                Vector256<float> p = own * VectorMath.Exp(Lanes.Load(z + i, lanes) - Vector256.Create(highest));
                Vector256<float> p0 = VectorMath.Exp(Lanes.Load(z0 + i, lanes) - Vector256.Create(highest0));
                Lanes.Store(Lanes.MultiplyAdd(p0, other, p), z + i, lanes);
            }
        }

        private readonly struct Mass(float* z, float highest) : ITerm
        {
            public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes) =>
                sum + VectorMath.Exp(Lanes.Load(z + i, lanes) - Vector256.Create(highest));
        }

        private readonly struct Difference(float* z, float* z0, float highest, float highest0) : ITerm
        {
            public Vector256<float> AddTo(Vector256<float> sum, int i, int lanes)
            {
                Vector256<float> s = Lanes.Load(z + i, lanes) - Vector256.Create(highest);
                Vector256<float> s0 = Lanes.Load(z0 + i, lanes) - Vector256.Create(highest0);
                return Lanes.MultiplyAdd(VectorMath.Exp(s0), s0 - s, sum);
            }
        }
    }
}
