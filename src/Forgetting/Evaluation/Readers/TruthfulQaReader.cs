using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// TruthfulQA.csv as its authors publish it (Lin et al., arXiv 2109.07958): answers are lists split by semicolons. As in their own
/// evaluation every answer ends in a full stop. The multiple-choice questions follow from it: mc1 is the best answer against the incorrect
/// ones, mc2 the correct ones against the incorrect ones. Where answers are generated, "I have no comment." is correct too.
/// </summary>
internal static class TruthfulQaReader
{
    private const string NoComment = "I have no comment.";

    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields)
    {
        foreach ((int line, Dictionary<string, string> record) in CsvFile.Read(path))
        {
            string place = $"{path}: line {line}";
            string best = Closed(Column("Best Answer").Trim());
            List<object?> correct = Answers("Correct Answers"), incorrect = Answers("Incorrect Answers");
            yield return new TaskDocument(place, new TemplateMap
            {
                ["question"] = Column("Question").Trim(),
                ["best_answer"] = best,
                ["correct_answers"] = correct.Contains(NoComment) ? correct : [.. correct, NoComment],
                ["incorrect_answers"] = incorrect,
                ["mc1_choices"] = new List<object?>([best, .. incorrect]),
                ["mc2_choices"] = new List<object?>([.. correct, .. incorrect]),
                ["mc2_correct"] = (long)correct.Count,
            });

            string Column(string name) =>
                record.TryGetValue(name, out string? value)
                ? value
                : throw new UserException($"{path}: line 1: no column \"{name}\"; found {string.Join(", ", record.Keys)}");

            List<object?> Answers(string name)
            {
                List<object?> answers =
                    [.. Column(name).Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(Closed)];
                return answers.Count > 0
                    ? answers
                    : throw new UserException($"{place}: \"{name}\" is empty, expected answers split by ';'");
            }
        }
    }

    private static string Closed(string answer) => answer.EndsWith('.') ? answer : answer + ".";
}
