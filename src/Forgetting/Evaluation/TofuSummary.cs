using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>The two figures that TOFU condenses an unlearned model to (Maini et al., arXiv 2401.06121, section 2.2).</summary>
internal static class TofuSummary
{
    /// <summary>Name of the summary in results.</summary>
    public const string Name = "tofu";

    /// <summary>The task whose samples forget quality compares.</summary>
    public const string ForgetTask = "tofu_forget_truth_ratio";

    private static readonly (string Task, string Metric)[] s_utility =
    [
        ("tofu_retain_probability", "probability"), ("tofu_retain_rouge", "rougeL_recall"),
        ("tofu_retain_truth_ratio", "truth_ratio_true_better"), ("tofu_real_authors", "probability"),
        ("tofu_real_authors_rouge", "rougeL_recall"), ("tofu_real_authors", "truth_ratio_true_better"),
        ("tofu_world_facts", "probability"), ("tofu_world_facts_rouge", "rougeL_recall"), ("tofu_world_facts", "truth_ratio_true_better"),
    ];

    /// <summary>
    /// Model utility: the harmonic mean of probability, ROUGE-L recall and max(0, 1 − truth ratio) on the retain set, on real authors and
    /// on world facts. Null where one of the nine was not measured.
    /// </summary>
    /// <param name="results">Metrics by task.</param>
    public static double? ModelUtility(IReadOnlyDictionary<string, IReadOnlyList<MetricValue>> results)
    {
        double?[] figures = [.. s_utility.Select(
            figure => results.GetValueOrDefault(figure.Task)?.FirstOrDefault(metric => metric.Name == figure.Metric)?.Value)];
        return figures.Contains(null) ? null : figures.Length / figures.Sum(figure => 1 / figure!.Value);
    }

    /// <summary>
    /// Forget quality: p-value of the two-sided Kolmogorov–Smirnov test between the truth ratios, on what was to be forgotten, of the
    /// unlearned model and of one that never learnt it. Near 1 they cannot be told apart.
    /// </summary>
    /// <param name="samples">Samples of <see cref="ForgetTask"/> of the unlearned model.</param>
    /// <param name="retainSamples">Those of the model that learnt only what is kept.</param>
    /// <exception cref="UserException">A file is malformed, or they are about other questions.</exception>
    public static double ForgetQuality(string samples, string retainSamples)
    {
        List<(string Question, double Ratio)> one = Read(samples), other = Read(retainSamples);
        if (!one.Select(sample => sample.Question).ToHashSet().SetEquals(other.Select(sample => sample.Question)))
        {
            throw new UserException(
                $"{retainSamples}: {other.Count} items, which are not the {one.Count} of {samples}; "
                + "expected those of the same file with the same limit");
        }

        return KolmogorovSmirnov.Test([.. one.Select(sample => sample.Ratio)], [.. other.Select(sample => sample.Ratio)]).PValue;
    }

    /// <summary>The newest samples of <see cref="ForgetTask"/> in a folder with results.</summary>
    /// <exception cref="UserException">There are none.</exception>
    public static string FindSamples(string folder)
    {
        string pattern = $"samples_{ForgetTask}_*.jsonl";
        return (Directory.Exists(folder) ? Directory.EnumerateFiles(folder, pattern).Order(StringComparer.Ordinal).LastOrDefault() : null)
            ?? throw new UserException(
                $"{folder}: no {pattern}; expected results of the retain model, by: eval --tasks {ForgetTask} --log-samples");
    }

    private static List<(string Question, double Ratio)> Read(string path)
    {
        List<(string Question, double Ratio)> samples = [];
        foreach (JsonView view in DataSet.Records(path))
        {
            JsonView ratio = view["truth_ratio"];
            samples.Add((view["doc_hash"].AsString(), ratio.Element.ValueKind == System.Text.Json.JsonValueKind.Number
                ? ratio.Element.GetDouble()
                : throw ratio.Wrong(ratio.Describe(), "a number")));
        }

        return samples.Count > 0 ? samples : throw new UserException($"{path}: no samples");
    }
}
