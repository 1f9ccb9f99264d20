namespace Forgetting.Evaluation;

/// <summary>Token ids whose log-probability after others is wanted.</summary>
/// <param name="Context">What is given, at least one token.</param>
/// <param name="Continuation">What is scored, at least one token.</param>
public readonly record struct LogLikelihoodRequest(int[] Context, int[] Continuation);

/// <summary>The answer to a <see cref="LogLikelihoodRequest"/>.</summary>
/// <param name="Sum">Sum of the continuation's log-probabilities, in nats.</param>
/// <param name="IsGreedy">Whether each of its tokens is the most probable one at its place.</param>
/// <param name="Tokens">How many they are.</param>
public readonly record struct LogLikelihood(double Sum, bool IsGreedy, int Tokens)
{
    /// <summary>Geometric mean of the tokens' probabilities, P^(1/n).</summary>
    public double TokenProbability => Math.Exp(Sum / Tokens);
}
