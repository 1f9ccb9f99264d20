namespace Forgetting.Evaluation;

/// <summary>A number that a task measured.</summary>
/// <param name="Name">Such as <c>acc</c>.</param>
/// <param name="Filter">How answers were taken from generated text; <c>none</c> otherwise.</param>
/// <param name="Value">The number.</param>
/// <param name="StandardError">Of a mean over items; null where the number is no such mean or there is one item.</param>
public sealed record MetricValue(string Name, string Filter, double Value, double? StandardError);

/// <summary>What a task measured.</summary>
public sealed record TaskResult
{
    internal TaskResult(EvaluationTask definition, IReadOnlyList<TaskSample> samples) => (Definition, Samples) = (definition, samples);

    /// <summary>Name of the task.</summary>
    public required string Task { get; init; }

    /// <summary>Items that the benchmark has.</summary>
    public required int Items { get; init; }

    /// <summary>Items that were evaluated.</summary>
    public required int Evaluated { get; init; }

    /// <summary>Examples before each question.</summary>
    public required int Shots { get; init; }

    /// <summary>The numbers.</summary>
    public required IReadOnlyList<MetricValue> Metrics { get; init; }

    /// <summary>Wall-clock time.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The items, in order.</summary>
    internal IReadOnlyList<TaskSample> Samples { get; }

    /// <summary>The task's definition.</summary>
    internal EvaluationTask Definition { get; }
}

/// <summary>What the model was asked about one item and what became of it.</summary>
/// <param name="Arguments">Context with continuation, or prompt with stop strings, of each request.</param>
/// <param name="Responses">The model's answers: log-likelihood with whether it is greedy, or text.</param>
/// <param name="Scores">Scores by metric and filter.</param>
/// <param name="Filtered">Answer by filter, where the task takes answers from text.</param>
internal sealed record TaskSample(
    int Index, TaskDocument Document, string Target, IReadOnlyList<(string Context, string Continuation)> Arguments, IReadOnlyList<object> Responses,
    IReadOnlyList<(string Metric, string Filter, double Score)> Scores, IReadOnlyDictionary<string, string> Filtered);
