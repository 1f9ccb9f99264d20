namespace Forgetting.Training;

/// <summary>Held-out examples and benchmark tasks on the model in training.</summary>
public sealed record EvaluationSettings
{
    // Settings of which one makes a run evaluate its model.
    private const string Sources = "eval-tasks|valid-data|valid-fraction";

    /// <summary>Examples that are not trained on, whose response loss is measured as the run goes.</summary>
    [Setting(
        "held-out examples, whose response loss is measured before, during and after training; the best model is kept in model-best",
        Name = "valid-data", Common = true, Value = "FILE", MayChange = true, Identity = false)]
    public string? ValidData { get; init; }

    /// <summary>Share of the data that is held out for the same.</summary>
    [Setting(
        "share of the data that is held out for the same, instead of valid-data", Name = "valid-fraction", Range = "(0, 1)",
        UsedBy = SettingUse.Learning, Identity = false)]
    public double? ValidFraction { get; init; }

    /// <summary>Evaluations in a row without a better one after which the run stops; 0: it never stops early.</summary>
    [Setting(
        "evaluations in a row without a better one that end the run early, 0 for never", Name = "patience", Range = "[0, ∞)",
        Needs = "eval-every")]
    public int Patience { get; init; }

    /// <summary>Benchmark tasks that the model in training is evaluated on.</summary>
    [Setting(
        "benchmark tasks to evaluate the model in training on, as eval names them; the best model is kept in model-best",
        Value = "NAMES")]
    public IReadOnlyList<string> Tasks { get; init; } = [];

    /// <summary>Steps between evaluations; 0: only after the last step.</summary>
    [Setting("steps between evaluations, 0 for only after the last; the last step always has one", Range = "[0, ∞)", Needs = Sources)]
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

    /// <summary>
    /// Metric that decides which model is kept; null: the held-out loss, or without held-out examples the mean of each task's first.
    /// </summary>
    [Setting(
        "metric that decides which model is best: TASK/METRIC or METRIC; unless given valid/loss, "
        + "or without held-out examples the mean of each task's first",
        Value = "NAME", Needs = Sources)]
    public string? Metric { get; init; }

    /// <summary>Which value of that metric is the best.</summary>
    [Setting("value of that metric that is best: auto (by the metric), high or low", Needs = Sources)]
    public BestKind Best { get; init; } = BestKind.Auto;
}
