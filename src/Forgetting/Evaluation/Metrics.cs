using System.Text.RegularExpressions;

namespace Forgetting.Evaluation;

/// <summary>Scores of single documents and of whole tasks, by the definitions of lm-evaluation-harness.</summary>
internal static partial class Metrics
{
    /// <summary>Whether the choice with the highest log-likelihood is the right one; the first of equals counts.</summary>
    public static double Accuracy(IReadOnlyList<double> logLikelihoods, int gold) => ArgMax(logLikelihoods) == gold ? 1 : 0;

    /// <summary>As <see cref="Accuracy"/> with each log-likelihood divided by the length of its choice in characters.</summary>
    public static double NormalizedAccuracy(IReadOnlyList<double> logLikelihoods, IReadOnlyList<string> choices, int gold) =>
        Accuracy([.. logLikelihoods.Zip(choices, (value, choice) => value / choice.EnumerateRunes().Count())], gold);

    /// <summary>Share of the choices' probability that falls to the first <paramref name="correct"/> of them (TruthfulQA's MC2).</summary>
    public static double TrueShare(IReadOnlyList<double> logLikelihoods, int correct)
    {
        // Relative to the largest, so that long answers do not underflow.
        double largest = logLikelihoods.Max();
        double[] probabilities = [.. logLikelihoods.Select(value => Math.Exp(value - largest))];
        return probabilities.Take(correct).Sum() / probabilities.Sum();
    }

    /// <summary>
    /// Whether an answer is the target, after what is to be ignored is removed from both; upper and lower case are the same.
    /// </summary>
    public static double ExactMatch(string answer, string target, IReadOnlyList<AnswerPattern> ignored)
    {
        foreach (AnswerPattern pattern in ignored)
        {
            answer = pattern.Remove(answer);
            target = pattern.Remove(target);
        }

        return string.Equals(answer.ToLowerInvariant(), target.ToLowerInvariant(), StringComparison.Ordinal) ? 1 : 0;
    }

    /// <summary>
    /// What a filter takes from a generated text: the first group of the chosen match that is not empty; "[invalid]" where nothing matches.
    /// </summary>
    public static string Extract(string text, AnswerFilter filter)
    {
        IReadOnlyList<Match> matches = filter.Pattern.Matches(text);
        int index = filter.Select < 0 ? matches.Count + filter.Select : filter.Select;
        if (index < 0 || index >= matches.Count)
            return "[invalid]";

        Match match = matches[index];
        return (match.Groups.Count == 1 ? match.Value : match.Groups.Values.Skip(1).FirstOrDefault(group => group.Length > 0)?.Value ?? "")
            .Trim();
    }

    /// <summary>
    /// Truth ratio R of TOFU (Maini et al., arXiv 2401.06121, eq. 1): P^(1/n) of the wrong answers over that of the right one. Above 1 the
    /// model prefers what is wrong. The wrong answers' mean is the geometric one, as in the programs of TOFU and OpenUnlearning, with which
    /// published figures were made; the equation has the arithmetic one.
    /// </summary>
    /// <param name="answers">The right answer, then the wrong ones.</param>
    public static double TruthRatio(IReadOnlyList<LogLikelihood> answers) =>
        Math.Exp(answers.Skip(1).Average(answer => answer.Sum / answer.Tokens) - (answers[0].Sum / answers[0].Tokens));

    /// <summary>Pieces of a text between runs of white space, as Python's <c>re.split(r"\s+", text)</c> counts them.</summary>
    public static int Words(string text) => WhiteSpace().Split(text).Length;

    /// <summary>Names of what can be measured of an output type.</summary>
    public static IReadOnlyList<string> For(OutputType type) => type switch
    {
        OutputType.MultipleChoice =>
            ["acc", "acc_norm", "mc2", "probability", "truth_ratio", "truth_ratio_true_better", "truth_ratio_closer_to_1"],
        OutputType.LogLikelihood => ["acc", "probability", "extraction_strength", "exact_memorization"],
        OutputType.LogLikelihoodRolling => ["word_perplexity", "byte_perplexity", "bits_per_byte"],
        _ => GenerationMetrics.Names,
    };

    /// <summary>Whether more is better, as results say of each metric.</summary>
    public static bool HigherIsBetter(string name) =>
        name is not ("self_bleu" or "word_perplexity" or "byte_perplexity" or "bits_per_byte" or "truth_ratio"
            or "extraction_strength" or "exact_memorization");

    /// <summary>Standard error of the mean: sd with n − 1, over √n. NaN for fewer than two values.</summary>
    public static double StandardError(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        return Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / (values.Count - 1.0) / values.Count);
    }

    private static int ArgMax(IReadOnlyList<double> values)
    {
        int best = 0;
        for (int i = 1; i < values.Count; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex WhiteSpace();
}
