using System.Reflection;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Evaluation;

/// <summary>The tasks that are known: those that come with the program, and those of a user's folder, which go before.</summary>
internal sealed class TaskLibrary
{
    private const string Prefix = "Forgetting.Evaluation.Tasks.";

    private readonly Dictionary<string, EvaluationTask> _tasks = [];
    private readonly Dictionary<string, TaskGroup> _groups = [];

    /// <param name="include">Folder with further <c>.yaml</c> files, or null.</param>
    /// <exception cref="UserException">A file is malformed, or the folder is missing.</exception>
    public TaskLibrary(string? include = null)
    {
        Assembly assembly = typeof(TaskLibrary).Assembly;
        foreach (string name in assembly.GetManifestResourceNames().Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            Add(new StreamReader(assembly.GetManifestResourceStream(name)!), name[Prefix.Length..]);
        }

        if (include is null)
            return;

        if (!Directory.Exists(include))
            throw new UserException($"{include}: no such folder: expected .yaml files of tasks");

        foreach (string path in Directory.EnumerateFiles(include, "*.yaml").Order(StringComparer.Ordinal))
        {
            Add(new StreamReader(path), path);
        }
    }

    /// <summary>Names of all tasks and groups, in order.</summary>
    public IEnumerable<string> Names => _tasks.Keys.Concat(_groups.Keys).Order(StringComparer.Ordinal);

    /// <summary>Prepares tasks: whatever is wrong with one of them is found before anything is computed.</summary>
    /// <param name="names">Names of tasks or groups; a task that is twice there counts once.</param>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="config">The model.</param>
    /// <exception cref="UserException">No task is named, or see <see cref="PreparedTask.Read"/>.</exception>
    public IReadOnlyList<PreparedTask> Prepare(
        IReadOnlyCollection<string> names, EvaluationOptions options, Tokenizer tokenizer, ModelConfig config)
    {
        if (names.Count == 0)
            throw new UserException($"no task is named; expected one of {string.Join(", ", Names)}");

        // All names before the first file is read.
        string[] known = [.. names.SelectMany(name => Members(name)).Distinct().Select(name => Find(name).Name)];
        return [.. known.Select(name => PreparedTask.Read(this, name, options, tokenizer, config))];
    }

    /// <summary>A task by name.</summary>
    /// <exception cref="UserException">There is no such task.</exception>
    internal EvaluationTask Find(string name)
    {
        if (!name.Contains('*', StringComparison.Ordinal))
        {
            if (_tasks.TryGetValue(name, out EvaluationTask? task))
                return task;

            // "mmlu_*" stands for a task for each of MMLU's subjects.
            if (_tasks.Values.FirstOrDefault(task => task.Name.EndsWith('*') && name.StartsWith(task.Name[..^1], StringComparison.Ordinal))
                is { } family)
            {
                return family.Member(name);
            }
        }

        throw new UserException($"no task \"{name}\"; expected one of {string.Join(", ", Names)}");
    }

    private IEnumerable<string> Members(string name, params string[] within)
    {
        if (within.Contains(name))
            throw new UserException($"group \"{name}\" is part of itself: {string.Join(" → ", [.. within, name])}");

        return _groups.TryGetValue(name, out TaskGroup? group) ? group.Tasks.SelectMany(task => Members(task, [.. within, name])) : [name];
    }

    // A name that is defined anew loses its old meaning.
    private void Add(TextReader reader, string path)
    {
        using (reader)
        {
            (EvaluationTask? task, TaskGroup? group) = TaskFile.Read(reader, path);
            string name = task?.Name ?? group!.Name;
            _tasks.Remove(name);
            _groups.Remove(name);
            if (task is not null)
                _tasks[name] = task;
            else
                _groups[name] = group!;
        }
    }
}
