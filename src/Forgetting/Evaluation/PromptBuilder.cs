using System.Globalization;
using System.Text;
using Forgetting.Core;
using Forgetting.Evaluation.Readers;

namespace Forgetting.Evaluation;

/// <summary>Prompts, choices and targets of a task's documents.</summary>
/// <param name="task">The task.</param>
/// <param name="documents">Its documents.</param>
/// <param name="pool">Documents that examples are drawn from; null for the task's own, among which an
/// item is never its own example.</param>
/// <param name="shots">Examples before each question.</param>
/// <param name="seed">Seed of the choice of examples.</param>
internal sealed class PromptBuilder(
    EvaluationTask task, IReadOnlyList<TaskDocument> documents, IReadOnlyList<TaskDocument>? pool, int shots, ulong seed)
{
    private readonly FewShotSampler _sampler = new(task, documents, pool, shots, seed);

    /// <summary>
    /// The description, the examples, then the question. Examples depend on seed and item alone, not on how many items are evaluated.
    /// </summary>
    /// <exception cref="UserException">There are fewer examples than wanted.</exception>
    public string Prompt(int item)
    {
        StringBuilder prompt = new(task.Description?.Render(documents[item]));
        foreach (TaskDocument example in _sampler.Examples(item))
        {
            prompt.Append(task.DocToText.Render(example)).Append(task.TargetDelimiter).Append(Answer(example)).Append(
                task.FewShotDelimiter);
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
            choices.AddRange(document.Fields.TryGetValue(field, out object? value) && value is string text
                ? [text]
                : (value as List<object?> ?? []).OfType<string>());
        }

        return choices.Count > 1
            ? choices
            : throw new UserException(
                $"{document.Place}: {choices.Count} choices in {string.Join(", ", task.ChoiceFields)}; expected at least two");
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

    /// <summary>What an answer to a document is compared with.</summary>
    /// <exception cref="UserException">A field that should hold answers has none.</exception>
    public AnswerReferences References(TaskDocument document)
    {
        return new AnswerReferences(
            task.References is null ? [Target(document)] : Field(task.References),
            task.FalseReferences is null ? [] : Field(task.FalseReferences));

        string[] Field(string name)
        {
            string[] answers =
                document.Fields.TryGetValue(name, out object? value) && value is List<object?> list ? [.. list.OfType<string>()] : [];
            return answers.Length > 0 ? answers : throw new UserException($"{document.Place}: no answers in {name}; expected at least one");
        }
    }

    private string Answer(TaskDocument example)
    {
        if (task.OutputType != OutputType.MultipleChoice)
            return Target(example);

        IReadOnlyList<string> choices = Choices(example);
        return choices[Gold(example, choices.Count)];
    }
}
