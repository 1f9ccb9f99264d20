using System.Globalization;
using System.Text.Json.Nodes;

namespace Forgetting.Training;

/// <summary>What a recipe may hold, as a JSON schema that editors check and complete YAML by.</summary>
internal static class RecipeSchema
{
    /// <summary>The schema, of draft 2020-12.</summary>
    public static JsonObject Build()
    {
        var properties = new JsonObject();
        foreach (Setting setting in Recipe.Settings)
        {
            properties[setting.Name] = Describe(setting);
        }

        JsonObject Sweep() => new()
        {
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["properties"] = new JsonObject(Recipe.Settings.Select(s => KeyValuePair.Create<string, JsonNode?>(
                s.Name, new JsonObject { ["type"] = "array", ["minItems"] = 1, ["items"] = Value(s) }))),
        };
        properties[RecipeGrid.SweepKey] = new JsonObject
        {
            ["description"] = "values to try, a list for each setting; or a list of such mappings, whose runs are put together",
            ["anyOf"] = new JsonArray(Sweep(), new JsonObject { ["type"] = "array", ["items"] = Sweep() }),
        };
        properties[RecipeGrid.SeedsKey] = new JsonObject
        {
            ["description"] = "seeds, with each of which every run is executed",
            ["type"] = "array", ["minItems"] = 1, ["items"] = new JsonObject { ["type"] = "integer", ["minimum"] = 0 },
        };
        return new JsonObject
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["title"] = "A recipe of forgetting",
            ["type"] = "object",
            ["additionalProperties"] = false,
            ["properties"] = properties,
        };
    }

    private static JsonObject Describe(Setting setting)
    {
        JsonObject value = Value(setting);
        string standard = setting.Read(new TrainingOptions());
        value["description"] = $"{setting.Help} ({setting.Group})";
        if (standard.Length > 0 && !setting.IsList)
            value["default"] = Literal(setting.Type, standard);

        return value;
    }

    // One value, or null where no value is one.
    private static JsonObject Value(Setting setting)
    {
        Type type = setting.Type;
        if (setting.IsList)
        {
            var item = new JsonObject { ["type"] = setting.IsNumbers ? "number" : "string" };
            var forms = new JsonArray(item, new JsonObject { ["type"] = "array", ["items"] = item.DeepClone() });
            if (setting.HasWeights)
            {
                forms.Add(new JsonObject
                {
                    ["type"] = "object",
                    ["additionalProperties"] = new JsonObject { ["type"] = "number", ["exclusiveMinimum"] = 0 },
                });
            }

            return new JsonObject { ["anyOf"] = forms };
        }

        if (Setting.Choices(type) is { } choices)
            return new JsonObject { ["enum"] = new JsonArray([.. choices.Select(v => (JsonNode)Recipe.Text(v))]) };

        if (type == typeof(Share))
        {
            return new JsonObject
            {
                ["anyOf"] = new JsonArray(
                    new JsonObject { ["type"] = "number" },
                    new JsonObject { ["enum"] = new JsonArray("auto", null) }),
            };
        }

        string name = type == typeof(string) ? "string" : type == typeof(bool) ? "boolean" : type == typeof(double) ? "number" : "integer";
        var value = new JsonObject { ["type"] = setting.IsOptional ? new JsonArray(name, "null") : name };
        if (type == typeof(ulong))
            value["minimum"] = 0;

        if (setting.Range is { } range)
        {
            if (double.IsFinite(range.Low))
                value[range.HasLow ? "minimum" : "exclusiveMinimum"] = range.Low;

            if (double.IsFinite(range.High))
                value[range.HasHigh ? "maximum" : "exclusiveMaximum"] = range.High;
        }

        return value;
    }

    private static JsonNode Literal(Type type, string text) =>
        type == typeof(bool) ? text == "true"
        : type == typeof(int) || type == typeof(ulong) ? ulong.Parse(text, CultureInfo.InvariantCulture)
        : type == typeof(double) ? double.Parse(text, CultureInfo.InvariantCulture)
        : text;
}
