using System.Text.Json;

namespace Forgetting.HuggingFace;

/// <summary>Typed access to the fields of a JSON object in a file; what does not fit is one line that names file, key, found and expected.</summary>
internal sealed class JsonFields
{
    private readonly JsonElement _object;
    private readonly string _prefix;

    private JsonFields(string path, JsonElement element, string prefix)
    {
        Path = path;
        _object = element;
        _prefix = prefix;
    }

    /// <summary>Path of the file.</summary>
    public string Path { get; }

    /// <summary>Reads a file that holds one object.</summary>
    /// <exception cref="UserException">Missing, not JSON, or not an object.</exception>
    public static JsonFields Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new JsonFields(path, document.RootElement.Clone(), string.Empty)
                : throw new UserException($"{path}: is a JSON {Kind(document.RootElement)}, expected an object");
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UserException($"{path}: no such file", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: cannot be read: {error.Message.ReplaceLineEndings(" ")}", error);
        }
        catch (JsonException error)
        {
            throw new UserException($"{path}: line {(error.LineNumber ?? 0) + 1}: not valid JSON", error);
        }
    }

    /// <summary>Whether the field is there and not null.</summary>
    public bool Has(string key) => Find(key) != null;

    /// <summary>The field as it stands, or null where it is absent or null.</summary>
    public JsonElement? Find(string key) =>
        _object.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>A whole number in a range.</summary>
    public int Int(string key, int least, int most) => IntOrNull(key, least, most) ?? throw Missing(key, "a whole number");

    /// <summary>A whole number in a range, or null.</summary>
    public int? IntOrNull(string key, int least, int most) => Find(key) is { } value ? ToInt(key, value, least, most) : null;

    /// <summary>One number or a list of numbers.</summary>
    public IReadOnlyList<int> Ints(string key, int least, int most) => Find(key) switch
    {
        null => [],
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(e => ToInt(key, e, least, most))],
        { } value => [ToInt(key, value, least, most)],
    };

    /// <summary>A finite number greater than zero, or null.</summary>
    public double? PositiveOrNull(string key) => Find(key) is not { } value
        ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number > 0 && double.IsFinite(number)
            ? number
            : throw Bad(key, value, "a number above 0");

    /// <summary>true or false.</summary>
    public bool Bool(string key, bool absent) => Find(key) is not { } value
        ? absent
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Bad(key, value, "true or false");

    /// <summary>A string, or null.</summary>
    public string? StringOrNull(string key) => Find(key) is not { } value
        ? null
        : value.ValueKind == JsonValueKind.String ? ToText(key, value) : throw Bad(key, value, "a string");

    /// <summary>A list's elements, or null where the field is absent.</summary>
    public IReadOnlyList<JsonElement>? ListOrNull(string key) => Find(key) is not { } value
        ? null
        : value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : throw Bad(key, value, "a list");

    /// <summary>A nested object, or null.</summary>
    public JsonFields? ObjectOrNull(string key) => Find(key) is not { } value
        ? null
        : value.ValueKind == JsonValueKind.Object ? new JsonFields(Path, value, $"{_prefix}{key}.") : throw Bad(key, value, "an object");

    /// <summary>Names and values in their order.</summary>
    public IEnumerable<(string Key, JsonElement Value)> All() => _object.EnumerateObject().Select(p => (NameOf(p), p.Value));

    /// <summary>A string element's text.</summary>
    public string ToText(string key, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new UserException($"{Path}: {_prefix}{key} is not a valid string");
        }
    }

    /// <summary>The line for a value that does not fit.</summary>
    public UserException Bad(string key, JsonElement found, string expected) => Bad(key, Show(found), expected);

    /// <summary>The line for a value that does not fit.</summary>
    public UserException Bad(string key, string found, string expected) => new($"{Path}: {_prefix}{key} is {found}, expected {expected}");

    /// <summary>The line for a field that is not there.</summary>
    public UserException Missing(string key, string expected) => new($"{Path}: {_prefix}{key} is missing, expected {expected}");

    private int ToInt(string key, JsonElement value, int least, int most) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least && number <= most
            ? number
            : throw Bad(key, value, most == int.MaxValue ? $"a whole number from {least}" : $"a whole number from {least} to {most}");

    private string NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            throw new UserException($"{Path}: {_prefix} has a key that is not a valid string");
        }
    }

    private static string Show(JsonElement value)
    {
        string raw = value.GetRawText().ReplaceLineEndings(" ");
        return raw.Length <= 60 ? raw : $"{raw[..60]}…";
    }

    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => "list",
        JsonValueKind.String => "string",
        JsonValueKind.Number => "number",
        _ => "literal",
    };
}
