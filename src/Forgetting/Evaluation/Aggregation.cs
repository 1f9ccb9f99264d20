
namespace Forgetting.Evaluation;

/// <summary>From the scores of items to those of a task.</summary>
internal static class Aggregation
{
    /// <summary>Means over items, by group too where the task has groups, or perplexities of all texts together.</summary>
    public static MetricValue[] Of(EvaluationTask task, IReadOnlyList<TaskSample> samples) =>
        task.OutputType == OutputType.LogLikelihoodRolling ? [.. Perplexities(task, samples)] : [.. Means(task, samples)];

    private static IEnumerable<MetricValue> Means(EvaluationTask task, IReadOnlyList<TaskSample> samples)
    {
        foreach (var metric in samples.SelectMany(sample => sample.Scores.Select(score => (sample.Document, score)))
            .GroupBy(pair => (pair.score.Metric, pair.score.Filter)))
        {
            (string name, string filter) = metric.Key;
            if (task.GroupBy is not { } field)
            {
                yield return Mean(name, filter, [.. metric.Select(pair => pair.score.Score)]);
                continue;
            }

            MetricValue[] groups = [.. metric.GroupBy(pair => pair.Document.Fields[field]!.ToString()!, pair => pair.score.Score)
                .OrderBy(group => group.Key, StringComparer.Ordinal)
                .Select(group => Mean(name, filter == "none" ? group.Key : $"{group.Key}/{filter}", [.. group]))];
            yield return task.MacroAverage
                ? MeanOfMeans(name, filter, groups)
                : Mean(name, filter, [.. metric.Select(pair => pair.score.Score)]);
            foreach (MetricValue group in groups)
            {
                yield return group;
            }
        }
    }

    private static MetricValue Mean(string name, string filter, double[] values) =>
        new(name, filter, values.Average(), values.Length > 1 ? Metrics.StandardError(values) : null);

    // The groups are independent of each other, so that the variance of their mean is the sum of theirs
    // over the square of how many they are.
    private static MetricValue MeanOfMeans(string name, string filter, MetricValue[] groups) => new(
        name, filter, groups.Average(group => group.Value),
        groups.All(group => group.StandardError is not null)
            ? Math.Sqrt(groups.Sum(group => group.StandardError!.Value * group.StandardError.Value)) / groups.Length
            : null);

    private static IEnumerable<MetricValue> Perplexities(EvaluationTask task, IReadOnlyList<TaskSample> samples)
    {
        double sum = Total("loglikelihood");
        return task.Metrics.Select(metric => new MetricValue(metric, "none", metric switch
        {
            "word_perplexity" => Math.Exp(-sum / Total("words")),
            "byte_perplexity" => Math.Exp(-sum / Total("bytes")),
            _ => -sum / Total("bytes") / Math.Log(2),
        }, StandardError: null));

        double Total(string part) => samples.Sum(sample => sample.Scores.First(score => score.Metric == part).Score);
    }
}
