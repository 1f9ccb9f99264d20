using System.Text.Json;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>Fields of configuration files, with their ranges; absent and null are the same.</summary>
internal static class JsonViewFields
{
    /// <summary>Reads a file that holds one object.</summary>
    /// <exception cref="UserException">Missing, not JSON, or not an object.</exception>
    public static JsonView LoadObject(string path)
    {
        JsonView view = JsonView.Load(path);
        return view.Element.ValueKind == JsonValueKind.Object ? view : throw view.Wrong(view.Describe(), "an object");
    }

    /// <summary>Whether the field is there and not null.</summary>
    public static bool Has(this JsonView json, string key) => json.Find(key) != null;

    /// <summary>A whole number in a range.</summary>
    public static int Int(this JsonView json, string key, int least, int most) => ToInt(json[key], least, most);

    /// <summary>A whole number in a range, or null.</summary>
    public static int? IntOrNull(this JsonView json, string key, int least, int most) =>
        json.Find(key) is { } value ? ToInt(value, least, most) : null;

    /// <summary>One number or a list of numbers.</summary>
    public static IReadOnlyList<int> Ints(this JsonView json, string key, int least, int most) => json.Find(key) switch
    {
        null => [],
        { Element.ValueKind: JsonValueKind.Array } list => [.. list.Items().Select(item => ToInt(item, least, most))],
        { } value => [ToInt(value, least, most)],
    };

    /// <summary>A finite number greater than zero, or null.</summary>
    public static double? PositiveOrNull(this JsonView json, string key) => json.Find(key)?.AsPositive();

    /// <summary>A finite number greater than zero.</summary>
    public static double AsPositive(this JsonView value) =>
        value.Element.ValueKind == JsonValueKind.Number && value.Element.TryGetDouble(out double number) && number > 0
        && double.IsFinite(number)
            ? number
            : throw value.Wrong(value.Describe(), "a number above 0");

    /// <summary>A nested object, or null.</summary>
    public static JsonView? ObjectOrNull(this JsonView json, string key) => json.Find(key) is not { } value
        ? null
        : value.Element.ValueKind == JsonValueKind.Object ? value : throw value.Wrong(value.Describe(), "an object");

    private static int ToInt(JsonView value, int least, int most)
    {
        int number = value.AsInt32();
        return number >= least && number <= most
            ? number
            : throw value.Wrong($"{number}", most == int.MaxValue ? $"at least {least}" : $"{least} to {most}");
    }
}
