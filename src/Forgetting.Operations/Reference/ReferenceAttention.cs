using Forgetting.Backends;

namespace Forgetting.Operations.Reference;

/// <summary>Attention in plain double precision: every score is computed, then every weight, then every sum.</summary>
internal static class ReferenceAttention
{
    /// <summary>o and the log Σ exp of the scaled scores, [T, heads].</summary>
    public static (double[] O, double[] LogSumExp) Forward(AttentionShape shape, double[] q, double[] k, double[] v, int[] offsets)
    {
        int d = shape.HeadSize, rows = offsets[^1];
        double[] o = new double[q.Length], logSumExp = new double[rows * shape.Heads];
        ForEachQuery(shape, offsets, (first, t, h) =>
        {
            logSumExp[(t * shape.Heads) + h] = Attend(
                shape, q, ((t * shape.Heads) + h) * d, k, v, first, t, h / (shape.Heads / shape.KeyValueHeads), o);
        });
        return (o, logSumExp);
    }

    /// <summary>
    /// Gradients of Σ dO∘o. With P the weights: dP = dO·v, dS = P∘(dP − Σ P∘dP), dq = scale·Σ dS·k, dk = scale·Σ dS·q, dv = Σ P·dO; where
    /// scores are capped, dS is multiplied by the cap's derivative.
    /// </summary>
    public static (double[] DQ, double[] DK, double[] DV) Backward(
        AttentionShape shape, double[] q, double[] k, double[] v, int[] offsets, double[] dO)
    {
        int d = shape.HeadSize;
        double scale = shape.Scale;
        double[] dQ = new double[q.Length], dK = new double[k.Length], dV = new double[v.Length];
        ForEachQuery(shape, offsets, (first, t, h) =>
        {
            int query = ((t * shape.Heads) + h) * d, head = h / (shape.Heads / shape.KeyValueHeads);
            double[] p = Weights(shape, q, query, k, first, t, head, out _);
            double[] dP = new double[p.Length];
            double mean = 0;
            for (int s = first; s <= t; s++)
            {
                dP[s - first] = Dot(dO, query, v, ((s * shape.KeyValueHeads) + head) * d, d);
                mean += p[s - first] * dP[s - first];
            }

            for (int s = first; s <= t; s++)
            {
                int key = ((s * shape.KeyValueHeads) + head) * d;
                double dS = p[s - first] * (dP[s - first] - mean);
                if (shape.Cap > 0)
                    dS *= ReferenceElementwise.SoftCapDerivative(scale * Dot(q, query, k, key, d), shape.Cap);

                for (int i = 0; i < d; i++)
                {
                    dQ[query + i] += scale * dS * k[key + i];
                    dK[key + i] += scale * dS * q[query + i];
                    dV[key + i] += p[s - first] * dO[query + i];
                }
            }
        });
        return (dQ, dK, dV);
    }

    /// <summary>Σ_d dO·O, [T, heads].</summary>
    public static double[] Delta(AttentionShape shape, double[] o, double[] dO) =>
        [.. Enumerable.Range(0, o.Length / shape.HeadSize).Select(i => Dot(o, i * shape.HeadSize, dO, i * shape.HeadSize, shape.HeadSize))];

    /// <summary>o of new tokens against a cache.</summary>
    public static double[] WithCache(
        AttentionShape shape, double[] q, int[] offsets, double[] keys, double[] values, int[] starts, int[] lengths)
    {
        double[] o = new double[q.Length];
        for (int s = 0; s < starts.Length; s++)
        {
            int added = offsets[s + 1] - offsets[s];
            for (int i = 0; i < added; i++)
            {
                int last = starts[s] + lengths[s] - added + i;
                int first = shape.Window == 0 ? starts[s] : Math.Max(starts[s], last - shape.Window + 1);
                for (int h = 0; h < shape.Heads; h++)
                {
                    Attend(
                        shape, q, (((offsets[s] + i) * shape.Heads) + h) * shape.HeadSize, keys, values, first, last,
                        h / (shape.Heads / shape.KeyValueHeads), o);
                }
            }
        }

        return o;
    }

    private static void ForEachQuery(AttentionShape shape, int[] offsets, Action<int, int, int> visit)
    {
        for (int s = 0; s + 1 < offsets.Length; s++)
        {
            for (int t = offsets[s]; t < offsets[s + 1]; t++)
            {
                int first = shape.Window == 0 ? offsets[s] : Math.Max(offsets[s], t - shape.Window + 1);
                for (int h = 0; h < shape.Heads; h++)
                {
                    visit(first, t, h);
                }
            }
        }
    }

    // Writes one head of one query's output and returns its log Σ exp.
    private static double Attend(
        AttentionShape shape, double[] q, int query, double[] k, double[] v, int first, int last, int head, double[] o)
    {
        double[] p = Weights(shape, q, query, k, first, last, head, out double logSumExp);
        for (int s = first; s <= last; s++)
        {
            for (int i = 0; i < shape.HeadSize; i++)
            {
                o[query + i] += p[s - first] * v[(((s * shape.KeyValueHeads) + head) * shape.HeadSize) + i];
            }
        }

        return logSumExp;
    }

    private static double[] Weights(
        AttentionShape shape, double[] q, int query, double[] k, int first, int last, int head, out double logSumExp)
    {
        double[] scores = new double[last - first + 1];
        for (int s = first; s <= last; s++)
        {
            scores[s - first] = shape.Scale * Dot(q, query, k, ((s * shape.KeyValueHeads) + head) * shape.HeadSize, shape.HeadSize);
            if (shape.Cap > 0)
                scores[s - first] = ReferenceElementwise.SoftCap(scores[s - first], shape.Cap);
        }

        logSumExp = ReferenceLoss.LogSumExp(scores);
        for (int s = 0; s < scores.Length; s++)
        {
            scores[s] = Math.Exp(scores[s] - logSumExp);
        }

        return scores;
    }

    private static double Dot(double[] a, int startA, double[] b, int startB, int count)
    {
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += a[startA + i] * b[startB + i];
        }

        return sum;
    }
}
