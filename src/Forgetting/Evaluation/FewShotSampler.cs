using Forgetting.Core;
using Forgetting.Evaluation.Readers;

namespace Forgetting.Evaluation;

/// <summary>
/// Chooses examples as lm-evaluation-harness does: one generator draws for item after item; an item's own document, where it is among those
/// that examples come from, is drawn past. With the same documents in the same order and the same seed the examples are the harness'.
/// </summary>
/// <param name="task">The task.</param>
/// <param name="documents">Its documents.</param>
/// <param name="pool">Documents that examples are drawn from; null for the task's own.</param>
/// <param name="shots">Examples for each item.</param>
/// <param name="seed">Seed of the generator.</param>
internal sealed class FewShotSampler(
    EvaluationTask task, IReadOnlyList<TaskDocument> documents, IReadOnlyList<TaskDocument>? pool, int shots, ulong seed)
{
    private readonly PythonRandom _random = new(seed);
    private readonly List<int[]> _drawn = [];
    private Dictionary<object, TaskDocument[]>? _byValue;

    /// <summary>The examples of an item.</summary>
    /// <exception cref="UserException">There are fewer than wanted.</exception>
    public IEnumerable<TaskDocument> Examples(int item)
    {
        if (shots == 0)
            return [];

        IReadOnlyList<TaskDocument> source = pool ?? documents;
        if (task.FewShotChoice.By is { } field)
        {
            _byValue ??= ByValue(field);
            return _byValue[documents[item].Fields[field]!];
        }

        Require(source.Count, "");
        if (task.FewShotChoice.FirstN)
            return Enumerable.Range(0, source.Count).Where(i => IsOther(i)).Take(shots).Select(i => source[i]);

        while (_drawn.Count <= item)
        {
            _drawn.Add(_random.Sample(source.Count, shots + (pool is null ? 1 : 0)));
        }

        return _drawn[item].Where(i => IsOther(i)).Take(shots).Select(i => source[i]);

        bool IsOther(int i) => pool is not null || i != item;
    }

    // Chosen once for each value, in the values' order.
    private Dictionary<object, TaskDocument[]> ByValue(string field)
    {
        // Else an item could be its own example.
        if (pool is null)
        {
            throw new UserException(
                $"task {task.Name}: its examples need a file of their own, {string.Join(" or ", task.FewShotFiles)}; "
                + "give the data folder and not one file");
        }

        ILookup<object, TaskDocument> candidates = pool.ToLookup(document => document.Fields[field]!);
        Dictionary<object, TaskDocument[]> chosen = [];
        foreach (object value in documents.Select(document => document.Fields[field]!).Distinct().OrderBy(
            value => value.ToString(), StringComparer.Ordinal))
        {
            TaskDocument[] of = [.. candidates[value]];
            Require(of.Length, $" with {field} {value}");
            chosen[value] = task.FewShotChoice.FirstN ? of[..shots] : [.. _random.Sample(of.Length, shots).Select(i => of[i])];
        }

        return chosen;
    }

    private void Require(int count, string which)
    {
        int others = pool is null ? count - 1 : count;
        if (others < shots)
            throw new UserException($"task {task.Name}: {shots} examples{which} wanted, and there are {others} to draw from");
    }
}
