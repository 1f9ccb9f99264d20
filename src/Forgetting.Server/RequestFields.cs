using System.Globalization;
using System.Text.Json;

namespace Forgetting.Server;

/// <summary>The fields of a request; every one that is not what it should be is an <see cref="ApiError"/> with its name.</summary>
/// <param name="element">An object.</param>
/// <param name="path">Where it is in the request; empty at its root.</param>
internal sealed class RequestFields(JsonElement element, string path = "")
{
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    /// <summary>Of a value that must be an object.</summary>
    /// <param name="path">Where it is.</param>
    public static RequestFields Of(JsonElement element, string path = "") => element.ValueKind == JsonValueKind.Object
        ? new RequestFields(element, path)
        : throw Wrong(path, element, "an object");

    /// <summary>Full name of a field.</summary>
    public string Named(string name) => path.Length == 0 ? name : $"{path}.{name}";

    /// <summary>A value, or null where the field is absent or null.</summary>
    public JsonElement? Find(string name)
    {
        _read.Add(name);
        return element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;
    }

    /// <summary>Text, or null.</summary>
    public string? Text(string name) => Find(name) is { } value ? TextOf(value, Named(name)) : null;

    /// <summary>True or false.</summary>
    public bool Flag(string name) => Find(name) switch
    {
        null => false,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Wrong(Named(name), value, "true or false"),
    };

    /// <summary>An integer within bounds, or null.</summary>
    public long? Integer(string name, long least, long most)
    {
        if (Find(name) is not { } value)
            return null;

        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= least && number <= most
            ? number
            : throw Wrong(Named(name), value, $"an integer from {least} to {most}");
    }

    /// <summary>A number within bounds, or null.</summary>
    public double? Number(string name, double least, double most)
    {
        if (Find(name) is not { } value)
            return null;

        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= least && number <= most
            ? number
            : throw Wrong(Named(name), value, string.Create(CultureInfo.InvariantCulture, $"a number from {least} to {most}"));
    }

    /// <summary>Refuses fields that ask for what there is not, unless they ask for none of it.</summary>
    public void RequireUnused(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (Find(name) is { } value && !IsNothing(value))
                throw ApiError.Bad($"'{Named(name)}' is not supported", Named(name), "unsupported_parameter");
        }
    }

    /// <summary>Passes over fields that change nothing here.</summary>
    public void Ignore(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            _read.Add(name);
        }
    }

    /// <summary>Refuses fields that nobody read: a misspelt one would change nothing, unnoticed.</summary>
    public void RequireNoOthers()
    {
        foreach (JsonProperty property in element.EnumerateObject())
        {
            string name = NameOf(property);
            if (!_read.Contains(name))
                throw ApiError.Bad($"Unrecognized request argument supplied: {Named(Shortened(name))}", Named(name), "unknown_parameter");
        }
    }

    /// <summary>A string that is valid Unicode.</summary>
    public static string TextOf(JsonElement value, string name)
    {
        if (value.ValueKind != JsonValueKind.String)
            throw Wrong(name, value, "a string");

        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw ApiError.Bad($"'{name}' is a string that is not valid Unicode, expected one that is", name);
        }
    }

    /// <summary>An error about a value.</summary>
    public static ApiError Wrong(string name, JsonElement value, string expected)
    {
        string found = value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "an array",
            JsonValueKind.Null => "null",
            _ => Shortened(value.GetRawText()),
        };
        string subject = name.Length == 0 ? "the request" : $"'{name}'";
        return ApiError.Bad($"{subject} is {found}, expected {expected}", name.Length == 0 ? null : name, "invalid_type");
    }

    private static bool IsNothing(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        JsonValueKind.Number => value.TryGetDouble(out double number) && number == 0,
        JsonValueKind.False => true,
        JsonValueKind.String => value.ValueEquals(""u8) || value.ValueEquals("none"u8),
        _ => false,
    };

    private static string NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException)
        {
            throw ApiError.Bad("a field's name is not valid Unicode, expected one that is");
        }
    }

    private static string Shortened(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
