using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>
/// The gold passage task of TyDi QA (Clark et al., arXiv 2003.05002): a <c>.json</c> file as its authors publish it, which has SQuAD's form
/// (<c>data</c> → <c>paragraphs</c> → <c>qas</c>), or a question a line with <c>id</c>, <c>context</c>, <c>question</c> and <c>answers</c>,
/// a list of <c>{"text"}</c> or one <c>{"text": […]}</c>. An id begins with its language and a hyphen.
/// </summary>
internal static class TydiqaReader
{
    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields) =>
        Path.GetExtension(path).Equals(".json", StringComparison.OrdinalIgnoreCase)
            ? Paragraphs(JsonView.Load(path)).SelectMany(paragraph => paragraph["qas"].Items().Select(question => (paragraph, question)))
                .Select((pair, i) => Document(
                    pair.question with { Source = $"{path}: question {i + 1}" },
                    pair.paragraph with { Source = $"{path}: question {i + 1}" }))
            : DataSet.Records(path).Select(view => Document(view, view));

    private static IEnumerable<JsonView> Paragraphs(JsonView root) =>
        root["data"].Items().SelectMany(article => article["paragraphs"].Items());

    private static TaskDocument Document(JsonView question, JsonView paragraph)
    {
        string id = question["id"].AsString();
        int end = id.IndexOf('-', StringComparison.Ordinal);
        if (end < 1)
            throw question["id"].Wrong($"\"{id}\"", "a language, a hyphen and a number");

        JsonView answers = question["answers"];
        List<object?> texts = answers.Element.ValueKind == System.Text.Json.JsonValueKind.Array
            ? [.. answers.Items().Select(answer => answer["text"].AsString())]
            : [.. answers["text"].Items().Select(text => text.AsString())];
        return texts.Count > 0
            ? new TaskDocument(question.Source, new TemplateMap
            {
                ["id"] = id,
                ["lang"] = id[..end],
                ["context"] = paragraph["context"].AsString(),
                ["question"] = question["question"].AsString(),
                ["answers"] = texts,
            })
            : throw answers.Wrong("without texts", "at least one answer");
    }
}
