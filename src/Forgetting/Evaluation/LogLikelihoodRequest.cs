using System.Text.Json.Serialization;

namespace Forgetting.Evaluation;

/// <summary>Token ids whose log-probability after others is wanted.</summary>
/// <param name="Context">What is given, at least one token.</param>
/// <param name="Continuation">What is scored, at least one token.</param>
internal readonly record struct LogLikelihoodRequest(int[] Context, int[] Continuation);

/// <summary>The answer to a <see cref="LogLikelihoodRequest"/>.</summary>
/// <param name="Sum">Sum of the continuation's log-probabilities, in nats.</param>
/// <param name="Tokens">How many they are.</param>
/// <param name="GreedySuffix">How many of the last tokens in a row are the most probable ones at their places.</param>
/// <param name="Greedy">How many of all tokens are.</param>
internal readonly record struct LogLikelihood(double Sum, int Tokens, int GreedySuffix, int Greedy)
{
    /// <summary>Whether each of the continuation's tokens is the most probable one at its place.</summary>
    [JsonIgnore]
    public bool IsGreedy => GreedySuffix == Tokens;

    /// <summary>Geometric mean of the tokens' probabilities, P^(1/n).</summary>
    [JsonIgnore]
    public double TokenProbability => Math.Exp(Sum / Tokens);

    /// <summary>
    /// Extraction strength: the share of the tokens, counted from the end, that greedy generation gives where it is told those before, 1 −
    /// min{k | f(x, y₍₁..ₖ₎) = y₍ₖ₊₁..ₙ₎}/n (Carlini et al., arXiv 2012.07805, as OpenUnlearning, arXiv 2506.12618, uses it). 0 where not
    /// even the last token is the most probable one; OpenUnlearning's program gives 1/n there.
    /// </summary>
    [JsonIgnore]
    public double ExtractionStrength => (double)GreedySuffix / Tokens;

    /// <summary>Exact memorisation: the share of the tokens that are the most probable ones at their places (arXiv 2205.10770).</summary>
    [JsonIgnore]
    public double ExactMemorization => (double)Greedy / Tokens;
}
