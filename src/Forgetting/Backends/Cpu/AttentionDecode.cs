using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Attention of one token: keys and values stream past once, since packing them would cost more than the sums.
/// </summary>
internal static unsafe class AttentionDecode
{
    /// <summary>One query head.</summary>
    /// <param name="query">[D].</param>
    /// <param name="keys">First key the token sees; the next are <paramref name="stride"/> floats further.</param>
    /// <param name="values">First value.</param>
    /// <param name="count">Number of keys it sees.</param>
    /// <param name="scores">Memory for <paramref name="count"/> floats.</param>
    /// <param name="output">[D].</param>
    public static void Run(AttentionShape shape, float* query, float* keys, float* values, int stride, int count, float* scores, float* output)
    {
        float highest = float.NegativeInfinity;
        for (int t = 0; t < count; t++)
        {
            scores[t] = shape.Scale * Lanes.Dot(query, keys + ((long)t * stride), shape.HeadSize);
            highest = MathF.Max(highest, scores[t]);
        }

        for (int t = 0; t < count; t += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - t);
            Lanes.Store(VectorMath.Exp(Lanes.Load(scores + t, lanes) - Vector256.Create(highest)), scores + t, lanes);
        }

        float sum = 0;
        new Span<float>(output, shape.HeadSize).Clear();
        for (int t = 0; t < count; t++)
        {
            sum += scores[t];
            Lanes.AddScaled(output, values + ((long)t * stride), scores[t], shape.HeadSize);
        }

        Lanes.Scale(output, 1 / sum, output, shape.HeadSize);
    }
}
