using System.Security.Cryptography;
using System.Text;
using Forgetting.IO;

namespace Forgetting.Evaluation;

/// <summary>
/// Tasks that an evaluation has finished, in <c>eval_progress.jsonl</c> of its folder until all are done, so that a run that was ended takes up where it was.
/// What was saved counts only for the same model, adapter and options.
/// </summary>
public sealed class EvaluationProgress
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "eval_progress.jsonl";

    private readonly string _path;
    private readonly string _key;
    private readonly List<Saved> _saved;

    /// <summary>Finds what an earlier run saved.</summary>
    /// <param name="folder">The evaluation's folder.</param>
    /// <param name="model">Checkpoint, folder or file.</param>
    /// <param name="adapter">Folder of the adapter, or null.</param>
    /// <param name="began">Now; an earlier run's beginning takes its place.</param>
    /// <exception cref="UserException">The file is malformed.</exception>
    public EvaluationProgress(string folder, string model, string? adapter, EvaluationOptions options, DateTimeOffset began)
    {
        ArgumentNullException.ThrowIfNull(options);
        _path = Path.Combine(folder, FileName);

        // Batches change no result, so a run may be taken up with smaller ones.
        string identity = $"{options with { BatchTokens = 0 }}\n{Files(model)}\n{(adapter is null ? "" : Files(adapter))}";
        _key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)));
        _saved = File.Exists(_path) ? [.. JsonLines.Read<Saved>(_path).Where(saved => saved.Key == _key)] : [];
        Began = _saved.Count > 0 ? _saved[0].Began : began;
    }

    /// <summary>When the evaluation began.</summary>
    public DateTimeOffset Began { get; }

    /// <summary>The result of a task that is done, without its samples; else null.</summary>
    public TaskResult? Find(TaskLibrary library, string task)
    {
        ArgumentNullException.ThrowIfNull(library);
        EvaluationTask definition = library.Find(task);
        return _saved.Find(saved => saved.Task == task && saved.Definition == Digest(definition)) is not { } found ? null : new TaskResult(definition, [])
        {
            Task = task,
            Items = found.Items,
            Evaluated = found.Evaluated,
            Shots = found.Shots,
            Metrics = found.Metrics,
            Elapsed = found.Elapsed,
        };
    }

    /// <summary>Saves a task's result.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public void Save(TaskResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        _saved.Add(new Saved(
            _key, Began, result.Task, Digest(result.Definition), result.Items, result.Evaluated, result.Shots, result.Metrics, result.Elapsed));
        JsonLines.Write(_path, _saved);
    }

    /// <summary>Removes the file, once the results are written.</summary>
    public void Delete() => File.Delete(_path);

    private static string Digest(EvaluationTask task) => Convert.ToHexStringLower(SHA256.HashData(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(task.Source)));

    // Names, sizes and times: enough to notice that a model was trained anew.
    private static string Files(string path)
    {
        IEnumerable<string> files = Directory.Exists(path) ? Directory.EnumerateFiles(path).Order(StringComparer.Ordinal) : [path];
        return string.Join('\n', files.Select(file => new FileInfo(file)).Select(file => FormattableString.Invariant($"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}")));
    }

    private sealed record Saved(
        string Key, DateTimeOffset Began, string Task, string Definition, int Items, int Evaluated, int Shots, IReadOnlyList<MetricValue> Metrics, TimeSpan Elapsed);
}
