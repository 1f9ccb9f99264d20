namespace Forgetting.Training;

/// <summary>Numbers of positive and negative response tokens.</summary>
public readonly record struct TokenCounts(long Positive, long Negative)
{
    /// <summary>Counts the signs of one example.</summary>
    public static TokenCounts Of(ReadOnlySpan<sbyte> signs)
    {
        long positive = 0;
        long negative = 0;
        foreach (sbyte sign in signs)
        {
            positive += sign > 0 ? 1 : 0;
            negative += sign < 0 ? 1 : 0;
        }

        return new(positive, negative);
    }

    /// <summary>All response tokens.</summary>
    public long Total => Positive + Negative;

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts operator +(TokenCounts a, TokenCounts b) => new(a.Positive + b.Positive, a.Negative + b.Negative);

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts Add(TokenCounts left, TokenCounts right) => left + right;
}

/// <summary>
/// Weights of one token's cross-entropy in the signed objective L = Σ⁺ CE/n⁺ − λ·Σ⁻ CE/n⁻ (arXiv 2508.04329, section 4), by the token's sign.
/// The counts are those of the whole optimiser step, so that micro-batches simply add up; a term without tokens is 0.
/// </summary>
/// <param name="Positive">Weight of a positive token.</param>
/// <param name="Negative">Weight of a negative token, its sign included.</param>
public readonly record struct SignedWeights(double Positive, double Negative)
{
    /// <summary>Weights for the tokens counted by <paramref name="counts"/>.</summary>
    public static SignedWeights Of(TrainingMethod method, TokenCounts counts, double lambda) => method switch
    {
        TrainingMethod.Full or TrainingMethod.Lwf => new(Inverse(counts.Total), Inverse(counts.Total)),
        TrainingMethod.Ignore => new(Inverse(counts.Positive), 0),
        _ => new(Inverse(counts.Positive), -lambda * Inverse(counts.Negative)),
    };

    /// <summary>
    /// As the paper's program weighs them: each of <paramref name="microBatches"/> micro-batches counts its own tokens, and their objectives are averaged.
    /// </summary>
    /// <param name="counts">Tokens of this micro-batch alone.</param>
    public static SignedWeights OfMicroBatch(TrainingMethod method, TokenCounts counts, double lambda, int microBatches)
    {
        SignedWeights own = Of(method, counts, lambda);
        return new(own.Positive / microBatches, own.Negative / microBatches);
    }

    /// <summary>Weight of a token of this sign; 0 for a token that is no response.</summary>
    public float For(sbyte sign) => (float)(sign > 0 ? Positive : sign < 0 ? Negative : 0);

    private static double Inverse(long count) => count == 0 ? 0 : 1.0 / count;
}
