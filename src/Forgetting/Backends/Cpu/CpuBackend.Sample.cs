using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
        Contract.Sample(logits, uniforms, ids);
        ForEachRow(
            new SampleRow(Floats(logits), logits.Columns, temperature, topK, topP, Floats(uniforms), Ints(ids)),
            logits.Rows,
            4L * logits.Columns,
            temperature == 0 ? 0 : RankedMass.ScratchBytes(logits.Columns));
    }

    private readonly struct SampleRow(float* logits, int columns, float temperature, int topK, float topP, float* uniforms, int* ids)
        : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* z = logits + ((long)row * columns);
            int best = IndexOfMax(z, columns);
            if (temperature == 0)
            {
                ids[row] = best;
                return;
            }

            var ranked = new RankedMass(z, columns, z[best], temperature, scratch);
            int kept = topK > 0 ? Math.Min(topK, columns) : columns;
            double mass = kept < columns ? ranked.Find(kept, double.PositiveInfinity).Mass : ranked.Total;

            // The set ends where its mass reaches top p, and what is drawn is the first whose cumulative
            // mass lies above u·(mass of the set).
            mass = topP < 1 ? ranked.Find(kept, topP * mass).Mass : mass;
            ids[row] = ranked.Find(kept, Math.BitIncrement(uniforms[row] * mass)).Id;
        }
    }
}
