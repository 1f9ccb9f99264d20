namespace Forgetting.Training;

/// <summary>Numbers of response tokens that are learnt, forgotten and ignored.</summary>
/// <param name="Positive">Learnt.</param>
/// <param name="Negative">Forgotten.</param>
/// <param name="Ignored">Neither.</param>
internal readonly record struct TokenCounts(long Positive, long Negative, long Ignored = 0)
{
    /// <summary>Counts the signs of response tokens.</summary>
    public static TokenCounts From(ReadOnlySpan<sbyte> signs)
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
    public static TokenCounts From(ReadOnlySpan<sbyte> signs, ReadOnlySpan<bool> response)
    {
        TokenCounts all = From(signs);
        return all with { Ignored = all.Ignored - response.Count(false) };
    }

    /// <summary>All response tokens.</summary>
    public long Total => Positive + Negative + Ignored;

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts operator +(TokenCounts a, TokenCounts b) =>
        new(a.Positive + b.Positive, a.Negative + b.Negative, a.Ignored + b.Ignored);

    /// <summary>Sum of two counts.</summary>
    public static TokenCounts Add(TokenCounts left, TokenCounts right) => left + right;
}

/// <summary>As how many tokens those that are learnt, forgotten and ignored count, each by its weight.</summary>
/// <param name="Positive">Sum of the weights of those learnt.</param>
/// <param name="Negative">Of those forgotten.</param>
/// <param name="Ignored">Of those that are neither.</param>
internal readonly record struct TokenMass(double Positive, double Negative, double Ignored = 0)
{
    /// <summary>Adds up tokens.</summary>
    /// <param name="signs">Their signs.</param>
    /// <param name="weights">Their weights; empty where each is 1.</param>
    public static TokenMass From(ReadOnlySpan<sbyte> signs, ReadOnlySpan<float> weights)
    {
        TokenMass sum = default;
        for (int i = 0; i < signs.Length; i++)
        {
            double weight = weights.IsEmpty ? 1 : weights[i];
            sum += signs[i] > 0 ? new(weight, 0) : signs[i] < 0 ? new(0, weight) : new(0, 0, weight);
        }

        return sum;
    }

    /// <summary>All response tokens.</summary>
    public double Total => Positive + Negative + Ignored;

    /// <summary>Sum of two.</summary>
    public static TokenMass operator +(TokenMass a, TokenMass b) =>
        new(a.Positive + b.Positive, a.Negative + b.Negative, a.Ignored + b.Ignored);

    /// <summary>Sum of two.</summary>
    public static TokenMass Add(TokenMass left, TokenMass right) => left + right;
}

/// <summary>
/// Weights of one token's cross-entropy in the signed objective L = Σ⁺ CE/n⁺ − λ·Σ⁻ CE/n⁻ (arXiv 2508.04329, section 4), by the token's
/// sign. A token of weight w counts as w tokens in its sum and in what that is divided by (this project's; in the paper every token counts
/// as one). What is divided by is that of the whole optimiser step, so that micro-batches simply add up; a term without tokens is 0.
/// </summary>
/// <param name="Positive">Weight of a positive token that counts as one.</param>
/// <param name="Negative">Weight of a negative token that counts as one, its sign included.</param>
internal readonly record struct SignedWeights(double Positive, double Negative)
{
    /// <summary>Weights for the tokens that <paramref name="mass"/> sums up.</summary>
    /// <param name="norm">What the negative term is divided by.</param>
    public static SignedWeights From(
        NegativeTokens negatives, TokenMass mass, double lambda, NegativeNormKind norm = NegativeNormKind.Candidates) =>
        negatives switch
        {
            NegativeTokens.Learnt => new(Inverse(mass.Total), Inverse(mass.Total)),
            NegativeTokens.Ignored => new(Inverse(mass.Positive), 0),
            _ => new(
                Inverse(mass.Positive),
                -lambda * Inverse(norm == NegativeNormKind.Forgotten ? mass.Negative : mass.Negative + mass.Ignored)),
        };

    /// <summary>
    /// Weights of explicit unlearning, token by token: each set's losses divided by its own tokens. Objectives that are descended on the
    /// forget set read their size alone.
    /// </summary>
    public static SignedWeights OfSets(double retainWeight, double retained, double forgetWeight, double forgotten) =>
        new(retainWeight * Inverse(retained), -forgetWeight * Inverse(forgotten));

    /// <summary>
    /// As the paper's program weighs them: each of <paramref name="microBatches"/> micro-batches counts its own tokens,
    /// and their objectives are averaged.
    /// </summary>
    /// <param name="mass">Tokens of this micro-batch alone.</param>
    public static SignedWeights OfMicroBatch(
        NegativeTokens negatives, TokenMass mass, double lambda, int microBatches, NegativeNormKind norm = NegativeNormKind.Candidates)
    {
        SignedWeights own = From(negatives, mass, lambda, norm);
        return new(own.Positive / microBatches, own.Negative / microBatches);
    }

    /// <summary>Weight of a token of this sign; 0 for a token that is no response.</summary>
    /// <param name="sign">Its sign.</param>
    /// <param name="weight">As how many tokens it counts.</param>
    public float For(sbyte sign, float weight = 1) => (float)(weight * (sign > 0 ? Positive : sign < 0 ? Negative : 0));

    private static double Inverse(double mass) => mass == 0 ? 0 : 1.0 / mass;
}
