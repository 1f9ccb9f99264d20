using System.Globalization;
using System.Text;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>Prompts, choices and targets of a task's documents.</summary>
/// <param name="task">The task.</param>
/// <param name="documents">Its documents.</param>
/// <param name="pool">Documents that examples are drawn from; null for the task's own, among which an item is never its own example.</param>
/// <param name="shots">Examples before each question.</param>
/// <param name="seed">Seed of the choice of examples.</param>
internal sealed class PromptBuilder(EvaluationTask task, IReadOnlyList<TaskDocument> documents, IReadOnlyList<TaskDocument>? pool, int shots, ulong seed)
{
    /// <summary>The examples, then the question. Examples depend on seed and item alone, not on how many items are evaluated.</summary>
    /// <exception cref="UserException">There are fewer examples than wanted.</exception>
    public string Prompt(int item)
    {
        StringBuilder prompt = new();
        foreach (TaskDocument example in Examples(item))
        {
            prompt.Append(task.DocToText.Render(example)).Append(task.TargetDelimiter).Append(Answer(example)).Append(task.FewShotDelimiter);
        }

        return prompt.Append(task.DocToText.Render(documents[item])).ToString();
    }

    /// <summary>Choices of a document.</summary>
    /// <exception cref="UserException">The fields that should hold them have fewer than two.</exception>
    public IReadOnlyList<string> Choices(TaskDocument document)
    {
        if (task.Choices.Count > 0)
            return [.. task.Choices.Select(template => template.Render(document))];

        List<string> choices = [];
        foreach (string field in task.ChoiceFields)
        {
            choices.AddRange(document.Fields.TryGetValue(field, out object? value) && value is string text ? [text] : (value as List<object?> ?? []).OfType<string>());
        }

        return choices.Count > 1
            ? choices
            : throw new UserException($"{document.Place}: {choices.Count} choices in {string.Join(", ", task.ChoiceFields)}; expected at least two");
    }

    /// <summary>The target's text.</summary>
    public string Target(TaskDocument document) => task.DocToTarget.Render(document);

    /// <summary>The target of a document as a number among its choices, or how many of them are right.</summary>
    /// <exception cref="UserException">The target is no such number.</exception>
    public int Gold(TaskDocument document, int choices)
    {
        string target = Target(document);
        return int.TryParse(target, NumberStyles.None, CultureInfo.InvariantCulture, out int gold) && gold < choices
            ? gold
            : throw new UserException($"{document.Place}: the target is \"{target}\", expected 0 to {choices - 1}");
    }

    private string Answer(TaskDocument example)
    {
        if (task.OutputType != OutputType.MultipleChoice)
            return Target(example);

        IReadOnlyList<string> choices = Choices(example);
        return choices[Gold(example, choices.Count)];
    }

    private IEnumerable<TaskDocument> Examples(int item)
    {
        if (shots == 0)
            return [];

        IReadOnlyList<TaskDocument> source = pool ?? documents;
        int others = pool is null ? source.Count - 1 : source.Count;
        if (others < shots)
            throw new UserException($"task {task.Name}: {shots} examples wanted, and there are {others} to draw from");

        return DataOrder.Permutation(source.Count, seed, (uint)item).Where(i => pool is not null || i != item).Take(shots).Select(i => source[i]);
    }
}
