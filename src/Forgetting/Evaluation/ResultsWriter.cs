using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>
/// Writes results as lm-evaluation-harness does: <c>results_TIME.json</c>, and a <c>samples_TASK_TIME.jsonl</c> for each task.
/// </summary>
internal static partial class ResultsWriter
{
    private static readonly JsonSerializerOptions s_indented = new(JsonLines.Options) { WriteIndented = true };

    /// <summary>Writes <c>results_TIME.json</c>, whole or not at all.</summary>
    /// <param name="folder">Folder to write to.</param>
    /// <param name="model">Name of the model.</param>
    /// <param name="time">When the evaluation began; part of the name.</param>
    /// <param name="groups">What tasks together amount to.</param>
    /// <returns>Path of the file.</returns>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static string Write(
        string folder, string model, IReadOnlyList<TaskResult> results, EvaluationOptions options, DateTimeOffset time,
        IReadOnlyList<GroupResult>? groups = null)
    {
        ArgumentNullException.ThrowIfNull(results);
        string path = Path.Combine(folder, $"results_{Stamp(time)}.json");
        AtomicFile.WriteText(path, Json(model, results, options, time, groups).ToJsonString(s_indented) + "\n");
        return path;
    }

    /// <summary>Writes a task's <c>samples_TASK_TIME.jsonl</c>, whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void WriteSamples(string folder, TaskResult result, DateTimeOffset time)
    {
        ArgumentNullException.ThrowIfNull(result);
        JsonLines.Write(SamplesPath(folder, result.Task, time), result.Samples.SelectMany(sample => Records(result.Definition, sample)));
    }

    /// <summary>Where <see cref="WriteSamples"/> writes.</summary>
    public static string SamplesPath(string folder, string task, DateTimeOffset time) =>
        Path.Combine(folder, $"samples_{PlainName.Check(task, "the task")}_{Stamp(time)}.jsonl");

    /// <summary>The results as the harness' JSON object.</summary>
    public static JsonObject Json(
        string model, IReadOnlyList<TaskResult> results, EvaluationOptions options, DateTimeOffset time,
        IReadOnlyList<GroupResult>? groups = null) =>
        new()
        {
            ["results"] = new JsonObject([
            .. results.Select(result => KeyValuePair.Create(result.Task, (JsonNode?)Metrics(result.Task, result.Metrics))),
            .. (groups ?? []).Select(group => KeyValuePair.Create(group.Name, (JsonNode?)Metrics(group.Name, group.Metrics)))]),
            ["group_subtasks"] = new JsonObject([
            .. results.Select(result => KeyValuePair.Create(result.Task, (JsonNode?)new JsonArray())),
            .. (groups ?? []).Select(group =>
                KeyValuePair.Create(group.Name, (JsonNode?)new JsonArray([.. group.Tasks.Select(task => JsonValue.Create(task))])))]),
            ["configs"] = ByTask(results, result => Config(result)),
            ["versions"] = ByTask(results, _ => 1.0),
            ["n-shot"] = ByTask(results, result => result.Shots),
            ["higher_is_better"] = ByTask(results, result => new JsonObject(
                result.Metrics.Select(metric => metric.Name)
                    .Distinct()
                    .Select(name => KeyValuePair.Create(name, (JsonNode?)Evaluation.Metrics.HigherIsBetter(name))))),
            ["n-samples"] = ByTask(
            results,
            result => new JsonObject { ["original"] = result.Items, ["effective"] = result.Evaluated, ["truncated"] = result.Truncated }),
            ["config"] = new JsonObject
            {
                ["model"] = "forgetting",
                ["model_args"] = $"pretrained={model}",
                ["batch_tokens"] = options.BatchTokens,
                ["limit"] = options.Limit,
                ["add_bos_token"] = options.Bos,
                ["chat_template"] = options.Layout?.Name,
                ["fewshot_seed"] = options.Seed,
                ["random_seed"] = options.Seed,
            },
            ["date"] = time.ToUnixTimeMilliseconds() / 1000.0,
            ["model_source"] = "forgetting",
            ["model_name"] = model,
            ["model_name_sanitized"] = UnsafeInNames().Replace(model, "__"),
            ["total_evaluation_time_seconds"] = results.Sum(result => result.Elapsed.TotalSeconds).ToString(CultureInfo.InvariantCulture),
            ["evaluation_time_seconds"] = ByTask(results, result => result.Elapsed.TotalSeconds),
        };

    private static string Stamp(DateTimeOffset time) => time.ToString("yyyy-MM-dd'T'HH-mm-ss.ffffff", CultureInfo.InvariantCulture);

    private static JsonObject ByTask(IReadOnlyList<TaskResult> results, Func<TaskResult, JsonNode?> value) =>
        new(results.Select(result => KeyValuePair.Create(result.Task, value(result))));

    private static JsonObject Metrics(string name, IReadOnlyList<MetricValue> metrics)
    {
        JsonObject values = new() { ["alias"] = name };
        foreach (MetricValue metric in metrics)
        {
            // JSON has no infinite numbers.
            values[$"{metric.Name},{metric.Filter}"] =
                double.IsFinite(metric.Value) ? metric.Value : metric.Value.ToString(CultureInfo.InvariantCulture);
            values[$"{metric.Name}_stderr,{metric.Filter}"] = metric.StandardError is { } error ? error : "N/A";
        }

        return values;
    }

    private static JsonNode? Config(TaskResult result)
    {
        JsonNode config = JsonSerializer.SerializeToNode(result.Definition.Source, s_indented)!;
        config["num_fewshot"] = result.Shots;
        return config;
    }

    // One line for each filter, as the harness has it.
    private static IEnumerable<JsonObject> Records(EvaluationTask task, TaskSample sample) =>
        sample.Scores.GroupBy(score => score.Filter).Select(group =>
        {
            JsonNode document = JsonSerializer.SerializeToNode(sample.Document.Fields, JsonLines.Options)!;
            JsonObject record = new()
            {
                ["doc_id"] = sample.Index,
                ["doc"] = document,
                ["target"] = sample.Target,
                ["arguments"] = new JsonObject(sample.Arguments.Select((pair, i) => KeyValuePair.Create(
                    $"gen_args_{i}",
                    (JsonNode?)new JsonObject { ["arg_0"] = pair.Context, ["arg_1"] = Argument(task, pair.Continuation) }))),
                ["resps"] = new JsonArray([.. sample.Responses.Chunk(task.Repeats).Select(of => new JsonArray([.. of.Select(Response)]))]),
                ["filtered_resps"] = sample.Filtered.TryGetValue(group.Key, out string? answer)
                    ? new JsonArray(answer)
                    : new JsonArray([.. sample.Responses.Select(Response)]),
                ["filter"] = group.Key,
                ["metrics"] = new JsonArray([.. group.Select(score => JsonValue.Create(score.Metric))]),
                ["doc_hash"] = Hash(document.ToJsonString(JsonLines.Options)),
                ["prompt_hash"] = Hash(sample.Arguments[0].Context),
                ["target_hash"] = Hash(sample.Target),
            };
            foreach ((string metric, _, double score) in group)
            {
                record[metric] = score;
            }

            return record;
        });

    private static JsonNode Argument(EvaluationTask task, string continuation) =>
        task.OutputType != OutputType.GenerateUntil ? continuation : new JsonObject
        {
            ["until"] = new JsonArray([.. task.Until.Select(text => JsonValue.Create(text))]),
            ["max_gen_toks"] = task.MaxNewTokens,
            ["do_sample"] = task.Temperature > 0,
            ["temperature"] = task.Temperature,
        };

    // Numbers and truth values of answers are Python's texts of them in the harness' files.
    private static JsonNode Response(object response) => response is LogLikelihood answer
        ? new JsonArray(answer.Sum.ToString("R", CultureInfo.InvariantCulture), answer.IsGreedy ? "True" : "False")
        : JsonValue.Create((string)response);

    [GeneratedRegex("[\"<>:/|\\\\?*\\[\\]]+")]
    private static partial Regex UnsafeInNames();

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
