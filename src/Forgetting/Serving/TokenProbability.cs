using System.Numerics.Tensors;

namespace Forgetting.Serving;

/// <summary>A token and how likely it was, before temperature and whatever else draws.</summary>
/// <param name="Id">Its id.</param>
/// <param name="LogProbability">In nats.</param>
/// <param name="Likeliest">The likeliest tokens in its place, the likeliest first.</param>
/// <param name="Start">Characters of the text before it.</param>
internal readonly record struct TokenProbability(
    int Id, double LogProbability, IReadOnlyList<(int Id, double LogProbability)> Likeliest, int Start)
{
    /// <summary>Of a token and the logits [V] in its place.</summary>
    /// <param name="likeliest">How many of the likeliest tokens to tell.</param>
    public static TokenProbability Of(int id, ReadOnlySpan<float> logits, int likeliest, int start)
    {
        float most = TensorPrimitives.Max(logits);
        double sum = 0;
        Span<float> part = stackalloc float[512];
        for (int first = 0; first < logits.Length; first += part.Length)
        {
            ReadOnlySpan<float> own = logits[first..Math.Min(first + part.Length, logits.Length)];
            Span<float> powers = part[..own.Length];
            TensorPrimitives.Subtract(own, most, powers);
            TensorPrimitives.Exp(powers, powers);
            sum += TensorPrimitives.Sum<float>(powers);
        }

        double normalizer = most + Math.Log(sum);
        var best = new (int Id, double LogProbability)[Math.Min(likeliest, logits.Length)];
        int count = 0;
        for (int i = 0; i < logits.Length && best.Length > 0; i++)
        {
            double value = logits[i] - normalizer;
            if (count == best.Length && !(value > best[^1].LogProbability))
                continue;

            // Of equals the first stays before.
            int at = count < best.Length ? count++ : count - 1;
            for (; at > 0 && value > best[at - 1].LogProbability; at--)
            {
                best[at] = best[at - 1];
            }

            best[at] = (i, value);
        }

        return new TokenProbability(id, logits[id] - normalizer, best, start);
    }
}
