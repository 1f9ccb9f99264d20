using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Evaluation;

/// <summary>
/// What an evaluation has computed, in its folder until all tasks are done, so that a run that was ended takes up where it was: finished
/// tasks in <c>eval_progress.jsonl</c>, answers of the task in progress in <c>answers_TASK.partial</c>. What was saved counts only for
/// the same model and the same items.
/// </summary>
internal sealed class EvaluationProgress
{
    /// <summary>Name of the file with finished tasks.</summary>
    public const string FileName = "eval_progress.jsonl";

    private readonly string _folder;
    private readonly string _path;
    private readonly string _key;
    private readonly List<Saved> _saved;

    /// <summary>Finds what an earlier run saved.</summary>
    /// <param name="folder">The evaluation's folder.</param>
    /// <param name="model">What is evaluated: <see cref="ModelOf"/>.</param>
    /// <param name="device">Where it is computed and in which type.</param>
    /// <param name="began">Now; an earlier run's beginning takes its place.</param>
    /// <exception cref="UserException">The folder cannot be written, or the file is malformed.</exception>
    public EvaluationProgress(string folder, Fingerprint model, string device, EvaluationOptions options, DateTimeOffset began)
    {
        ArgumentNullException.ThrowIfNull(options);
        AtomicDirectory.CheckWritable(folder);
        (_folder, _path) = (folder, Path.Combine(folder, FileName));

        // A task that was finished without writing its samples has none to write later.
        _key = new Fingerprint().Add("samples", options.LogSamples ? "yes" : "no").Add("device", device).Add(model).ToString();
        _saved = File.Exists(_path) ? [.. Read().Where(saved => saved.Key == _key)] : [];
        Began = _saved.Count > 0 ? _saved[0].Began : began;
    }

    /// <summary>The files of a model and its adapter.</summary>
    /// <param name="model">Checkpoint, folder or file.</param>
    /// <param name="adapter">Folder of the adapter, or null.</param>
    /// <param name="baseType">Element type of the matrices of blocks, or null for that of all.</param>
    /// <exception cref="UserException">One cannot be read.</exception>
    public static Fingerprint ModelOf(string model, string? adapter, DType? baseType = null)
    {
        Fingerprint files = new Fingerprint().AddFiles("model", ModelPath.Resolve(model));
        if (baseType is { } type)
            files.Add("base-dtype", type.ToString());

        return adapter is null ? files : files.AddFiles("adapter", adapter);
    }

    /// <summary>When the evaluation began.</summary>
    public DateTimeOffset Began { get; }

    /// <summary>The result of a task that is done, without its samples; else null.</summary>
    public TaskResult? Find(PreparedTask task)
    {
        ArgumentNullException.ThrowIfNull(task);
        return _saved.Find(saved => saved.Task == task.Name && saved.Fingerprint == task.Fingerprint) is { } found
            ? new TaskResult(task, []) { Metrics = found.Metrics, Elapsed = found.Elapsed }
            : null;
    }

    /// <summary>Saves a task's result.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public void Save(TaskResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        _saved.Add(new Saved(_key, Began, result.Task, result.Source.Fingerprint, result.Metrics, result.Elapsed));
        AtomicFile.Write(_path, stream => _saved.ForEach(saved => stream.Write(SealedLine.Of(saved))));
        Temporary.Delete($"{AnswersPath(result.Source)}.partial");
    }

    /// <summary>Removes what was saved, once the results are written.</summary>
    public void Delete() => File.Delete(_path);

    /// <summary>Answers of a task in progress.</summary>
    /// <exception cref="UserException">Not writable.</exception>
    internal AnswerLog<T> Answers<T>(PreparedTask task) => new(AnswersPath(task), $"{_key} {task.Fingerprint}");

    // What is damaged is computed again.
    private IEnumerable<Saved> Read()
    {
        byte[] bytes = File.ReadAllBytes(_path);
        for (int start = 0; bytes.AsSpan(start).IndexOf((byte)'\n') is var length and >= 0; start += length + 1)
        {
            if (SealedLine.TryRead<Saved>(bytes.AsSpan(start, length), out var saved))
                yield return saved;
        }
    }

    private string AnswersPath(PreparedTask task) => Path.Combine(_folder, $"answers_{PlainName.Check(task.Name, "the task")}");

    private sealed record Saved(
        string Key, DateTimeOffset Began, string Task, string Fingerprint, IReadOnlyList<MetricValue> Metrics, TimeSpan Elapsed);
}
