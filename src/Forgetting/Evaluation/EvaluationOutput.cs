using System.Globalization;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>A number of an evaluation that is read back.</summary>
/// <param name="Task">Name of the task.</param>
/// <param name="Metric">Such as <c>acc</c>.</param>
/// <param name="Filter">Such as <c>none</c>.</param>
/// <param name="Value">The number.</param>
/// <param name="StandardError">Its standard error, or null.</param>
/// <param name="Items">Items it is over; null where the file does not say.</param>
internal sealed record EvaluatedMetric(string Task, string Metric, string Filter, double Value, double? StandardError, int? Items);

/// <summary>
/// A folder that <c>eval --out</c> left, or lm-evaluation-harness: its <c>results_*.json</c> and the <c>samples_*.jsonl</c> beside it. Of
/// several results for a task the newest counts.
/// </summary>
internal sealed class EvaluationOutput
{
    private readonly Dictionary<string, string> _samples = [];

    private EvaluationOutput(string folder) => Folder = folder;

    /// <summary>The folder.</summary>
    public string Folder { get; }

    /// <summary>What was measured, in the order of the files.</summary>
    public IReadOnlyList<EvaluatedMetric> Metrics { get; private set; } = [];

    /// <summary>Whether a folder holds results.</summary>
    public static bool IsIn(string folder) => Directory.Exists(folder) && Results(folder).Any();

    /// <summary>Reads a folder.</summary>
    /// <exception cref="UserException">It holds no results, or they are malformed.</exception>
    public static EvaluationOutput Read(string folder)
    {
        if (!IsIn(folder))
            throw new UserException($"{folder}: holds no evaluation: expected results_*.json");

        var output = new EvaluationOutput(folder);
        var byTask = new Dictionary<string, IReadOnlyList<EvaluatedMetric>>();
        foreach (string path in Results(folder))
        {
            JsonView file = JsonView.Load(path);
            foreach ((string task, JsonView values) in file["results"].Members())
            {
                int? items = file.Find("n-samples")?.Find(task)?.Find("effective")?.AsInt32();
                PlainName.Check(task, $"{path}: results: a task");
                byTask[task] = [.. Values(task, values, items)];
                string samples =
                    Path.Combine(folder, $"samples_{task}_{Path.GetFileNameWithoutExtension(path)["results_".Length..]}.jsonl");
                output._samples.Remove(task);
                if (File.Exists(samples))
                    output._samples[task] = samples;
            }
        }

        output.Metrics = [.. byTask.Values.SelectMany(metrics => metrics)];
        return output;
    }

    /// <summary>The scores of a metric by document, or null where the items were not logged or have no such score.</summary>
    /// <returns>
    /// Scores by a key that is the same in every folder: the hash of the document with its number among equal ones, or its place in the
    /// benchmark where the file has no hashes.
    /// </returns>
    /// <exception cref="UserException">The file is malformed; names file and line.</exception>
    public IReadOnlyDictionary<string, double>? Scores(string task, string metric, string filter)
    {
        if (!_samples.TryGetValue(task, out string? path))
            return null;

        var scores = new Dictionary<string, double>();
        var equal = new Dictionary<string, int>();
        foreach (JsonView sample in DataSet.Records(path).Where(sample => (sample.Find("filter")?.AsString() ?? "none") == filter))
        {
            if (sample.Find(metric) is not { Element.ValueKind: JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False } score)
                return null;

            string document =
                sample.Find("doc_hash")?.AsString() ?? string.Create(CultureInfo.InvariantCulture, $"place {sample["doc_id"].AsInt32()}");
            equal[document] = equal.GetValueOrDefault(document) + 1;
            scores[string.Create(CultureInfo.InvariantCulture, $"{document} {equal[document]}")] =
                score.Element.ValueKind == JsonValueKind.Number
                    ? score.Element.GetDouble()
                    : score.Element.ValueKind == JsonValueKind.True ? 1 : 0;
        }

        return scores.Count > 0 ? scores : null;
    }

    private static IEnumerable<string> Results(string folder) =>
        Directory.EnumerateFiles(folder, "results_*.json").Order(StringComparer.Ordinal);

    private static IEnumerable<EvaluatedMetric> Values(string task, JsonView values, int? items)
    {
        foreach ((string key, JsonView value) in values.Members())
        {
            if (key.Split(',') is [var metric, var filter] && !metric.EndsWith("_stderr", StringComparison.Ordinal)
                && value.Element.ValueKind == JsonValueKind.Number)
            {
                double? error = values.Find($"{metric}_stderr,{filter}") is { Element.ValueKind: JsonValueKind.Number } stderr
                    ? stderr.Element.GetDouble()
                    : null;
                yield return new EvaluatedMetric(task, metric, filter, value.Element.GetDouble(), error, items);
            }
        }
    }
}
