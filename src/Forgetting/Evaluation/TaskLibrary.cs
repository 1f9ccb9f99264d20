using System.Reflection;

namespace Forgetting.Evaluation;

/// <summary>The tasks that are known: those that come with the program, and those of a user's folder, which go before.</summary>
public sealed class TaskLibrary
{
    private const string Prefix = "Forgetting.Evaluation.Tasks.";

    private readonly Dictionary<string, EvaluationTask> _tasks = [];

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

    /// <summary>Names of all tasks, in order.</summary>
    public IEnumerable<string> Names => _tasks.Keys.Order(StringComparer.Ordinal);

    /// <summary>Finds out before anything is computed whether every task and its file are there.</summary>
    /// <exception cref="UserException">No task is named, one is unknown, or a file is missing.</exception>
    public void Check(IReadOnlyCollection<string> names, string dataFolder)
    {
        if (names.Count == 0)
            throw new UserException($"no task is named; expected one of {string.Join(", ", Names)}");

        foreach (string name in names)
        {
            Find(name).FindFile(dataFolder);
        }
    }

    /// <summary>A task by name.</summary>
    /// <exception cref="UserException">There is no such task.</exception>
    internal EvaluationTask Find(string name) =>
        _tasks.TryGetValue(name, out EvaluationTask? task) ? task : throw new UserException($"no task \"{name}\"; expected one of {string.Join(", ", Names)}");

    private void Add(TextReader reader, string path)
    {
        using (reader)
        {
            EvaluationTask task = TaskFile.Read(reader, path);
            _tasks[task.Name] = task;
        }
    }
}
