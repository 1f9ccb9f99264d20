namespace Forgetting.Training;

/// <summary>Numbers of response tokens that are learnt, forgotten and ignored.</summary>
/// <param name="Positive">Learnt.</param>
/// <param name="Negative">Forgotten.</param>
/// <param name="Ignored">Neither.</param>
internal readonly record struct TokenCounts(long Positive, long Negative, long Ignored = 0)
{
    /// <summary>Counts the signs of response tokens.</summary>
    public static TokenCounts Of(ReadOnlySpan<sbyte> signs)
    {
        long positive = 0;
        long negative = 0;
        foreach (sbyte sign in signs)
        {
            positive += sign > 0 ? 1 : 0;
            negative += sign < 0 ? 1 : 0;
        }

        return new(positive, negative, signs.Length - positive - negative);
    }

    /// <summary>Counts the signs of an example's response tokens.</summary>
    public static TokenCounts Of(ReadOnlySpan<sbyte> signs, ReadOnlySpan<bool> response)
    {
        TokenCounts all = Of(signs);
        return all with { Ignored = all.Ignored - response.Count(false) };
    }

    /// <summary>All response tokens.</summary>
    public long Total => Positive + Negative + Ignored;

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts operator +(TokenCounts a, TokenCounts b) => new(a.Positive + b.Positive, a.Negative + b.Negative, a.Ignored + b.Ignored);

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts Add(TokenCounts left, TokenCounts right) => left + right;
}

/// <summary>
/// Weights of one token's cross-entropy in the signed objective L = Σ⁺ CE/n⁺ − λ·Σ⁻ CE/n⁻ (arXiv 2508.04329, section 4), by the token's sign.
/// The counts are those of the whole optimiser step, so that micro-batches simply add up; a term without tokens is 0.
/// </summary>
/// <param name="Positive">Weight of a positive token.</param>
/// <param name="Negative">Weight of a negative token, its sign included.</param>
internal readonly record struct SignedWeights(double Positive, double Negative)
{
    /// <summary>Weights for the tokens counted by <paramref name="counts"/>.</summary>
    /// <param name="norm">What the negative term is divided by.</param>
    public static SignedWeights Of(TrainingMethod method, TokenCounts counts, double lambda, NegativeNormKind norm = NegativeNormKind.Candidates) => method switch
    {
        TrainingMethod.Full or TrainingMethod.Lwf => new(Inverse(counts.Total), Inverse(counts.Total)),
        TrainingMethod.Ignore => new(Inverse(counts.Positive), 0),
        _ => new(Inverse(counts.Positive), -lambda * Inverse(norm == NegativeNormKind.Forgotten ? counts.Negative : counts.Negative + counts.Ignored)),
    };

    /// <summary>
    /// As the paper's program weighs them: each of <paramref name="microBatches"/> micro-batches counts its own tokens, and their objectives are averaged.
    /// </summary>
    /// <param name="counts">Tokens of this micro-batch alone.</param>
    public static SignedWeights OfMicroBatch(
        TrainingMethod method, TokenCounts counts, double lambda, int microBatches, NegativeNormKind norm = NegativeNormKind.Candidates)
    {
        SignedWeights own = Of(method, counts, lambda, norm);
        return new(own.Positive / microBatches, own.Negative / microBatches);
    }

    /// <summary>Weight of a token of this sign; 0 for a token that is no response.</summary>
    public float For(sbyte sign) => (float)(sign > 0 ? Positive : sign < 0 ? Negative : 0);

    private static double Inverse(long count) => count == 0 ? 0 : 1.0 / count;
}
