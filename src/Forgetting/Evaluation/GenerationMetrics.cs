using System.Text.RegularExpressions;

namespace Forgetting.Evaluation;

/// <summary>What generated texts are compared with.</summary>
/// <param name="True">Right answers, at least one.</param>
/// <param name="False">Wrong answers, for metrics that set both against each other.</param>
internal readonly record struct AnswerReferences(IReadOnlyList<string> True, IReadOnlyList<string> False);

/// <summary>Scores of generated texts.</summary>
internal static partial class GenerationMetrics
{
    private static readonly Dictionary<string, Func<string, string, double>> s_similarities = new()
    {
        ["bleu"] = Bleu.Sentence,
        ["rouge1"] = (answer, reference) => 100 * Rouge.N(answer, reference, 1).F1,
        ["rouge2"] = (answer, reference) => 100 * Rouge.N(answer, reference, 2).F1,
        ["rougeL"] = (answer, reference) => 100 * Rouge.LSum(Lines(answer), Lines(reference)).F1,
    };

    // Of all answers to one prompt together; no words at all are no variety.
    private static readonly Dictionary<string, Func<IReadOnlyList<string>, double>> s_variety = new()
    {
        ["distinct_1"] = answers => Diversity.Distinct(answers, 1) is var share && double.IsNaN(share) ? 0 : share,
        ["distinct_2"] = answers => Diversity.Distinct(answers, 2) is var share && double.IsNaN(share) ? 0 : share,
        ["self_bleu"] = answers => Diversity.SelfBleu(answers),
    };

    private static readonly string[] s_parts = ["max", "acc", "diff"];

    /// <summary>
    /// Names of what can be measured. <c>_max</c>, <c>_acc</c> and <c>_diff</c> are TruthfulQA's: similarity to the nearest true answer,
    /// whether that is more than to the nearest false one, and by how much (Lin et al., arXiv 2109.07958).
    /// </summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "exact_match", "squad_exact_match", "f1", "rougeL_recall",
        .. s_similarities.Keys.SelectMany(similarity => s_parts.Select(part => $"{similarity}_{part}")), .. s_variety.Keys,
    ];

    /// <summary>Names of metrics that set true answers against false ones.</summary>
    public static bool NeedsFalse(string name) => Names.Contains(name) && s_parts.Contains(name.Split('_')[^1]);

    /// <summary>
    /// The metrics of the answers to one prompt. Where only one can count it is the first; of several references the best counts.
    /// </summary>
    /// <param name="answers">At least one, and two for self-BLEU.</param>
    /// <param name="ignored">What exact match does not look at.</param>
    /// <returns>Pairs of the name that results have, and the score.</returns>
    public static IEnumerable<(string Name, double Score)> Score(
        IReadOnlyList<string> metrics, IReadOnlyList<string> answers, AnswerReferences references, IReadOnlyList<AnswerPattern> ignored)
    {
        string answer = answers[0];
        Dictionary<string, (double True, double False)> nearest = [];
        foreach (string metric in metrics)
        {
            if (s_variety.TryGetValue(metric, out Func<IReadOnlyList<string>, double>? variety))
            {
                yield return (metric, variety(answers));
                continue;
            }

            if (!NeedsFalse(metric))
            {
                yield return metric switch
                {
                    "f1" => (metric, references.True.Max(reference => SquadF1(answer, reference))),
                    "squad_exact_match" => (
                        "exact_match", references.True.Max(reference => SquadWords(answer).SequenceEqual(SquadWords(reference)) ? 1.0 : 0)),
                    "rougeL_recall" => (metric, references.True.Max(reference => Rouge.L(answer, reference, stem: true).Recall)),
                    _ => (metric, references.True.Max(reference => Metrics.ExactMatch(answer, reference, ignored))),
                };
                continue;
            }

            string[] parts = metric.Split('_');
            if (!nearest.TryGetValue(parts[0], out (double True, double False) best))
            {
                Func<string, string, double> similarity = s_similarities[parts[0]];
                best = nearest[parts[0]] = (references.True.Max(reference => similarity(answer, reference)), references.False.Max(
                    reference => similarity(answer, reference)));
            }

            yield return (
                metric, parts[1] switch { "max" => best.True, "acc" => best.True > best.False ? 1 : 0, _ => best.True - best.False });
        }
    }

    /// <summary>
    /// SQuAD's F1 (arXiv 1606.05250): harmonic mean of precision and recall over words, of which each counts as often as it is in both.
    /// </summary>
    public static double SquadF1(string answer, string reference)
    {
        string[] found = SquadWords(answer), wanted = SquadWords(reference);
        double common = NGrams.Common(NGrams.Count(found, 1), NGrams.Count(wanted, 1));
        return common == 0 ? 0 : 2 * common / (found.Length + wanted.Length);
    }

    // As SQuAD's script: lower case, without ASCII punctuation, then without English articles.
    private static string[] SquadWords(string text) =>
        Article()
            .Replace(
                string.Concat(text.ToLowerInvariant().Where(c => !char.IsAscii(c) || !(char.IsPunctuation(c) || char.IsSymbol(c)))), " ")
            .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    // lm-evaluation-harness so marks the ends of sentences in texts whose words are parted by spaces.
    private static string Lines(string text) => text.Replace(" . ", ".\n", StringComparison.Ordinal);

    [GeneratedRegex(@"\b(a|an|the)\b")]
    private static partial Regex Article();
}
