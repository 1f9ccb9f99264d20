using System.Globalization;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation.Readers;

/// <summary>One JSON object a line, or an array of objects: BoolQ, GSM8K, SST-5 and most others.</summary>
internal static class JsonDocuments
{
    public static IEnumerable<TaskDocument> Read(string path, IReadOnlyDictionary<string, FieldType> fields)
    {
        foreach (JsonView view in DataSet.Records(path))
        {
            TemplateMap values = [];
            foreach ((string name, FieldType type) in fields)
            {
                values[name] = Value(view[name], type);
            }

            yield return new TaskDocument(view.Source, values);
        }
    }

    private static object? Value(JsonView view, FieldType type) => type switch
    {
        FieldType.String => view.AsString(),
        FieldType.Boolean => view.AsBoolean(),
        FieldType.Strings => view.Items().Select(object? (item) => item.AsString()).ToList(),
        _ => Integer(view),
    };

    private static long Integer(JsonView view)
    {
        if (view.Element.ValueKind != System.Text.Json.JsonValueKind.String)
            return view.AsInt32();

        return long.TryParse(view.AsString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
            ? number
            : throw view.Wrong(view.Describe(), "a whole number");
    }
}
