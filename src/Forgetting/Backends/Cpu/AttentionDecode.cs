using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Attention of one token for each sequence against a key-value cache: keys and values stream past once, four rows of some heads at
/// a time, since packing them would cost more than the sums. A task is a part of the key-value heads of one sequence; what a head
/// gets does not depend on the parts.
/// </summary>
/// <param name="q">[n, heads·D], rows <paramref name="queryStride"/> apart.</param>
/// <param name="k">[R, kvHeads·D].</param>
/// <param name="v">[R, kvHeads·D].</param>
/// <param name="starts">First row of each sequence's keys and values.</param>
/// <param name="lengths">Keys of each sequence, that of the token included.</param>
/// <param name="headsPerTask">Key-value heads.</param>
internal readonly unsafe struct AttentionDecode(
    AttentionShape shape, float* q, int queryStride, float* k, float* v, int* starts, int* lengths, int headsPerTask, float* o) : IJob
{
    // Rows in flight: enough to hide the latency of a sum, and of loads and stores of the output for each value.
    private const int Rows = 4;

    /// <summary>Tasks for each sequence.</summary>
    public int Parts => (shape.KeyValueHeads + headsPerTask - 1) / headsPerTask;

    /// <summary>Memory of a task.</summary>
    public long ScratchBytes(int sequences)
    {
        int most = 0;
        for (int s = 0; s < sequences; s++)
        {
            most = Math.Max(most, lengths[s]);
        }

        return (long)sizeof(float) * most * headsPerTask * (shape.Heads / shape.KeyValueHeads);
    }

    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        (int sequence, int part) = Math.DivRem(index, Parts);
        int first = part * headsPerTask;
        Run(
            shape, sequence, lengths[sequence] - 1, starts[sequence], first, Math.Min(headsPerTask, shape.KeyValueHeads - first),
            q + ((long)sequence * queryStride), k, v, (float*)scratch, o);
    }

    /// <summary>One token's heads that share some key-value heads.</summary>
    /// <param name="token">Row of the token in o.</param>
    /// <param name="position">Its position.</param>
    /// <param name="start">Row of position 0 in k and v.</param>
    /// <param name="kvHead">First key-value head.</param>
    /// <param name="kvHeads">Number of them.</param>
    /// <param name="q">The token's row.</param>
    /// <param name="scores">Memory for a float for each of the heads and keys.</param>
    public static void Run(
        AttentionShape shape, int token, int position, int start, int kvHead, int kvHeads, float* q, float* k, float* v, float* scores,
        float* o)
    {
        int size = shape.HeadSize;
        int group = shape.Heads / shape.KeyValueHeads;
        int heads = kvHeads * group;
        int stride = shape.KeyValueHeads * size;
        int firstKey = shape.Window > 0 ? Math.Max(position - shape.Window + 1, 0) : 0;
        int count = position + 1 - firstKey;
        int first = kvHead * group * size;
        long row = ((long)(start + firstKey) * stride) + ((long)kvHead * size);
        for (int t = 0; t < count; t += Rows)
        {
            for (int head = 0; head < heads; head++)
            {
                float* key = k + row + ((long)t * stride) + (head / group * size);
                Score(shape, q + first + (head * size), key, stride, Math.Min(Rows, count - t), scores + ((long)head * count) + t);
            }
        }

        float* output = o + ((long)token * shape.Heads * size) + first;
        new Span<float>(output, heads * size).Clear();
        for (int head = 0; head < heads; head++)
        {
            if (shape.Cap > 0)
                AttentionTiles.CapRow(scores + ((long)head * count), count, shape.Cap);

            Normalize(scores + ((long)head * count), count);
        }

        for (int t = 0; t < count; t += Rows)
        {
            for (int head = 0; head < heads; head++)
            {
                float* value = v + row + ((long)t * stride) + (head / group * size);
                AddValues(value, stride, Math.Min(Rows, count - t), scores + ((long)head * count) + t, output + (head * size), size);
            }
        }
    }

    // Scores of up to four keys; those past the last are read as the first and not stored.
    private static void Score(AttentionShape shape, float* query, float* key, int stride, int count, float* scores)
    {
        float* k1 = key + (count > 1 ? stride : 0), k2 = key + (count > 2 ? 2L * stride : 0), k3 = key + (count > 3 ? 3L * stride : 0);
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        for (int i = 0; i < shape.HeadSize; i += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, shape.HeadSize - i);
            Vector256<float> q = Lanes.Load(query + i, lanes);
            s0 = Lanes.MultiplyAdd(q, Lanes.Load(key + i, lanes), s0);
            s1 = Lanes.MultiplyAdd(q, Lanes.Load(k1 + i, lanes), s1);
            s2 = Lanes.MultiplyAdd(q, Lanes.Load(k2 + i, lanes), s2);
            s3 = Lanes.MultiplyAdd(q, Lanes.Load(k3 + i, lanes), s3);
        }

        Vector128<float> sums = Vector128.Create(Vector256.Sum(s0), Vector256.Sum(s1), Vector256.Sum(s2), Vector256.Sum(s3)) * shape.Scale;
        for (int i = 0; i < count; i++)
        {
            scores[i] = sums.GetElement(i);
        }
    }

    // Scores to probabilities.
    private static void Normalize(float* scores, int count)
    {
        Vector256<float> most = Vector256.Create(float.NegativeInfinity);
        int t = 0;
        for (; t <= count - Lanes.Count; t += Lanes.Count)
        {
            most = Vector256.Max(most, Vector256.Load(scores + t));
        }

        float highest = float.NegativeInfinity;
        for (int i = 0; i < Lanes.Count; i++)
        {
            highest = MathF.Max(highest, most.GetElement(i));
        }

        for (; t < count; t++)
        {
            highest = MathF.Max(highest, scores[t]);
        }

        Vector256<float> sum = Vector256<float>.Zero;
        for (t = 0; t < count; t += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - t);
            Lanes.Store(VectorMath.Exp(Lanes.Load(scores + t, lanes) - Vector256.Create(highest)), scores + t, lanes);

            // Lanes past the last are zeros only when read again.
            sum += Lanes.Load(scores + t, lanes);
        }

        Lanes.Scale(scores, 1 / Vector256.Sum(sum), scores, count);
    }

    // output += Σ probability·value over up to four values, in their order.
    private static void AddValues(float* value, int stride, int count, float* probability, float* output, int size)
    {
        if (count < Rows)
        {
            for (int i = 0; i < count; i++)
            {
                Lanes.AddScaled(output, value + ((long)i * stride), probability[i], size);
            }

            return;
        }

        float* v1 = value + stride, v2 = v1 + stride, v3 = v2 + stride;
        var p0 = Vector256.Create(probability[0]);
        var p1 = Vector256.Create(probability[1]);
        var p2 = Vector256.Create(probability[2]);
        var p3 = Vector256.Create(probability[3]);
        for (int i = 0; i < size; i += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, size - i);
            Vector256<float> sum = Lanes.MultiplyAdd(Lanes.Load(value + i, lanes), p0, Lanes.Load(output + i, lanes));
            sum = Lanes.MultiplyAdd(Lanes.Load(v1 + i, lanes), p1, sum);
            sum = Lanes.MultiplyAdd(Lanes.Load(v2 + i, lanes), p2, sum);
            sum = Lanes.MultiplyAdd(Lanes.Load(v3 + i, lanes), p3, sum);
            Lanes.Store(sum, output + i, lanes);
        }
    }
}
