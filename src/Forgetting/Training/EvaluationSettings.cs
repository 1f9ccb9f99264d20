namespace Forgetting.Training;

/// <summary>Benchmark tasks on the model in training.</summary>
public sealed record EvaluationSettings
{
    /// <summary>Benchmark tasks that the model in training is evaluated on.</summary>
    [Setting(
        "benchmark tasks to evaluate the model in training on, as eval names them; the best model is kept in model-best",
        Value = "NAMES")]
    public IReadOnlyList<string> Tasks { get; init; } = [];

    /// <summary>Steps between evaluations; 0: only after the last step.</summary>
    [Setting("steps between evaluations, 0 for only after the last; the last step always has one", Range = "[0, ∞)", Needs = "eval-tasks")]
    public int Every { get; init; }

    /// <summary>Folder with the benchmarks' files, or the one file that the tasks are to read.</summary>
    [Setting(
        "folder with the benchmarks' files, as eval's --data-dir",
        Value = "PATH", Needs = "eval-tasks", MayChange = true, Identity = false)]
    public string? DataDir { get; init; }

    /// <summary>Folder with further tasks.</summary>
    [Setting("folder with .yaml files of further tasks", Value = "DIR", Needs = "eval-tasks", MayChange = true)]
    public string? Include { get; init; }

    /// <summary>First so many items of each task; below 1 that fraction of them; null: all.</summary>
    [Setting("first so many items of each task, or that fraction of them if below 1", Range = "(0, ∞)", Needs = "eval-tasks")]
    public double? Limit { get; init; }

    /// <summary>Examples before each question; null: the task's own number.</summary>
    [Setting("examples before each question; the task's own number unless given", Range = "[0, ∞)", Needs = "eval-tasks")]
    public int? NumFewshot { get; init; }

    /// <summary>Metric that decides which model is kept; null: the mean of each task's first.</summary>
    [Setting(
        "metric that decides which model is best: TASK/METRIC or METRIC; the mean of each task's first unless given",
        Value = "NAME", Needs = "eval-tasks")]
    public string? Metric { get; init; }

    /// <summary>Which value of that metric is the best.</summary>
    [Setting("value of that metric that is best: auto (by the metric), high or low", Needs = "eval-tasks")]
    public BestKind Best { get; init; } = BestKind.Auto;
}
