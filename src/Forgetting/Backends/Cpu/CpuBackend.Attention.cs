using System.Runtime.Intrinsics;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Attention(AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        int sequences = (int)offsets.Count - 1;
        var job = new AttentionRows(shape, Floats(q), Floats(k), Floats(v), Ints(offsets), Ints(offsets), null, Floats(o), Floats(logSumExp));
        _pool.Run(job, sequences * shape.Heads, sizeof(float) * (long)(k.Rows + 8));
    }

    /// <inheritdoc/>
    public void AttentionWithCache(
        AttentionShape shape, Tensor q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        int sequences = (int)offsets.Count - 1;
        var job = new AttentionRows(shape, Floats(q), Floats(keys), Floats(values), Ints(offsets), Ints(starts), Ints(lengths), Floats(o), null);
        _pool.Run(job, sequences * shape.Heads, sizeof(float) * (long)(keys.Rows + 8));
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, Tensor dQ, Tensor dK, Tensor dV)
    {
        int sequences = (int)offsets.Count - 1;
        var job = new AttentionGradientRows(
            shape, Floats(q), Floats(k), Floats(v), Ints(offsets), Floats(o), Floats(logSumExp), Floats(dO), Floats(delta), Floats(dQ), Floats(dK), Floats(dV));
        _pool.Run(job, sequences * shape.KeyValueHeads);
    }

    private static void AddScaled(float* destination, float* source, float factor, int count)
    {
        for (int i = 0; i < count; i += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - i);
            Lanes.Store(Lanes.MultiplyAdd(Vector256.Create(factor), Lanes.Load(source + i, lanes), Lanes.Load(destination + i, lanes)), destination + i, lanes);
        }
    }

    private readonly struct AttentionRows(
        AttentionShape shape, float* q, float* k, float* v, int* offsets, int* starts, int* lengths, float* o, float* logSumExp) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            int sequence = index / shape.Heads;
            int head = index % shape.Heads;
            int kvHead = head / (shape.Heads / shape.KeyValueHeads);
            int d = shape.HeadSize;
            int kvColumns = shape.KeyValueHeads * d;
            int rows = offsets[sequence + 1] - offsets[sequence];
            int length = lengths == null ? rows : lengths[sequence];
            float* keys = k + ((long)starts[sequence] * kvColumns) + (kvHead * d);
            float* values = v + ((long)starts[sequence] * kvColumns) + (kvHead * d);
            float* scores = (float*)scratch;
            for (int i = 0; i < rows; i++)
            {
                long row = offsets[sequence] + i;
                int position = length - rows + i;
                int first = shape.Window > 0 ? Math.Max(0, position - shape.Window + 1) : 0;
                float* query = q + (((row * shape.Heads) + head) * d);
                float highest = float.NegativeInfinity;
                for (int s = first; s <= position; s++)
                {
                    scores[s] = shape.Scale * Lanes.Dot(query, keys + ((long)s * kvColumns), d);
                    highest = Math.Max(highest, scores[s]);
                }

                float* output = o + (((row * shape.Heads) + head) * d);
                new Span<float>(output, d).Clear();
                double sum = 0;
                for (int s = first; s <= position; s++)
                {
                    float p = MathF.Exp(scores[s] - highest);
                    sum += p;
                    AddScaled(output, values + ((long)s * kvColumns), p, d);
                }

                for (int j = 0; j < d; j++)
                {
                    output[j] = (float)(output[j] / sum);
                }

                if (logSumExp != null)
                {
                    logSumExp[(row * shape.Heads) + head] = highest + (float)Math.Log(sum);
                }
            }
        }
    }

    private readonly struct AttentionGradientRows(
        AttentionShape shape, float* q, float* k, float* v, int* offsets, float* o, float* logSumExp, float* dO, float* delta,
        float* dQ, float* dK, float* dV) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            int sequence = index / shape.KeyValueHeads;
            int kvHead = index % shape.KeyValueHeads;
            int group = shape.Heads / shape.KeyValueHeads;
            int d = shape.HeadSize;
            int kvColumns = shape.KeyValueHeads * d;
            long kvStart = ((long)offsets[sequence] * kvColumns) + (kvHead * d);
            int rows = offsets[sequence + 1] - offsets[sequence];
            for (int s = 0; s < rows; s++)
            {
                new Span<float>(dK + kvStart + ((long)s * kvColumns), d).Clear();
                new Span<float>(dV + kvStart + ((long)s * kvColumns), d).Clear();
            }

            for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
            {
                for (int i = 0; i < rows; i++)
                {
                    long place = ((long)(offsets[sequence] + i) * shape.Heads) + head;
                    long at = place * d;
                    float sum = Lanes.Dot(dO + at, o + at, d);
                    delta[place] = sum;
                    new Span<float>(dQ + at, d).Clear();
                    for (int s = shape.Window > 0 ? Math.Max(0, i - shape.Window + 1) : 0; s <= i; s++)
                    {
                        long row = kvStart + ((long)s * kvColumns);
                        float p = MathF.Exp((shape.Scale * Lanes.Dot(q + at, k + row, d)) - logSumExp[place]);
                        float dScore = p * (Lanes.Dot(dO + at, v + row, d) - sum) * shape.Scale;
                        AddScaled(dV + row, dO + at, p, d);
                        AddScaled(dK + row, q + at, dScore, d);
                        AddScaled(dQ + at, k + row, dScore, d);
                    }
                }
            }
        }
    }
}
