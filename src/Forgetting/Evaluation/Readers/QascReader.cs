using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// QASC (Khot et al., arXiv 1910.11473) in its authors' form, a line <c>{"question": {"stem", "choices": [{"text", "label"}]},
/// "answerKey"}</c>, or in the widespread one with <c>"answers": "(A) … (B) …"</c> and <c>"answer": "(F) …"</c>.
/// </summary>
internal static partial class QascReader
{
    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields) =>
        DataSet.Records(path).Select(view =>
        {
            (string question, List<(string Label, string Text)> choices, string key) = view.Find("answers") is { } answers
                ? (view["question"].AsString(), Split(answers), AnswerLabel().Match(view["answer"].AsString()).Groups[1].Value)
                : (view["question"]["stem"].AsString(),
                   [.. view["question"]["choices"].Items().Select(choice => (choice["label"].AsString(), choice["text"].AsString()))],
                   view["answerKey"].AsString());
            int gold = choices.FindIndex(choice => choice.Label == key);
            return gold >= 0
                ? new TaskDocument(view.Source, new TemplateMap
                {
                    ["question"] = question,
                    ["choices"] = choices.Select(object? (choice) => choice.Text).ToList(),
                    ["gold"] = (long)gold,
                })
                : throw new UserException(
                    $"{view.Source}: the answer is none of the choices {string.Join(", ", choices.Select(choice => choice.Label))}");
        });

    private static List<(string Label, string Text)> Split(JsonView answers)
    {
        List<(string Label, string Text)> choices =
            [.. Choice().Matches(answers.AsString()).Select(match => (match.Groups[1].Value, match.Groups[2].Value))];
        return choices.Count > 1 ? choices : throw answers.Wrong(answers.Describe(), "choices such as \"(A) … (B) …\"");
    }

    [GeneratedRegex(@"\(([A-H])\) (.*?)(?= \([A-H]\) |$)", RegexOptions.Singleline)]
    private static partial Regex Choice();

    [GeneratedRegex(@"^\(([A-H])\)")]
    private static partial Regex AnswerLabel();
}
