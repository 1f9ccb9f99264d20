using System.Text.Json.Serialization;
using Forgetting.Evaluation.Readers;

namespace Forgetting.Evaluation;

/// <summary>A number that a task measured.</summary>
/// <param name="Name">Such as <c>acc</c>.</param>
/// <param name="Filter">How answers were taken from generated text; <c>none</c> otherwise.</param>
/// <param name="Value">The number; infinite where a perplexity is beyond what a double holds, as by word in a text without spaces.</param>
/// <param name="StandardError">Of a mean over items; null where the number is no such mean or there is one item.</param>
internal sealed record MetricValue(
    string Name, string Filter, [property: JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)] double Value,
    double? StandardError);

/// <summary>What a task measured.</summary>
internal sealed record TaskResult
{
    internal TaskResult(PreparedTask source, IReadOnlyList<TaskSample> samples) => (Source, Samples) = (source, samples);

    /// <summary>Name of the task.</summary>
    public string Task => Source.Name;

    /// <summary>Items that the benchmark has.</summary>
    public int Items => Source.Items;

    /// <summary>Items that were evaluated.</summary>
    public int Evaluated => Source.Evaluated;

    /// <summary>Items of which an input is longer than the model's context and loses its beginning.</summary>
    public int Truncated => Source.Truncated;

    /// <summary>Examples before each question.</summary>
    public int Shots => Source.Shots;

    /// <summary>The numbers.</summary>
    public required IReadOnlyList<MetricValue> Metrics { get; init; }

    /// <summary>Wall-clock time.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The items, in order.</summary>
    internal IReadOnlyList<TaskSample> Samples { get; }

    /// <summary>What was evaluated.</summary>
    internal PreparedTask Source { get; }

    /// <summary>The task's definition.</summary>
    internal EvaluationTask Definition => Source.Definition;
}

/// <summary>What the model was asked about one item and what became of it.</summary>
/// <param name="Arguments">Context with continuation, or prompt with stop strings, of each request.</param>
/// <param name="Responses">The model's answers: log-likelihood with whether it is greedy, or text.</param>
/// <param name="Scores">Scores by metric and filter.</param>
/// <param name="Filtered">Answer by filter, where the task takes answers from text.</param>
internal sealed record TaskSample(
    int Index, TaskDocument Document, string Target, IReadOnlyList<(string Context, string Continuation)> Arguments,
    IReadOnlyList<object> Responses, IReadOnlyList<(string Metric, string Filter, double Score)> Scores,
    IReadOnlyDictionary<string, string> Filtered);
