using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// A JSON value that knows where it came from, so that every wrong type or missing key is one line with the file and the key's path.
/// </summary>
/// <param name="Element">The value.</param>
/// <param name="Source">File, with the line where it has one value a line.</param>
/// <param name="Path">Keys from the root, joined by dots; empty at the root.</param>
internal readonly record struct JsonView(JsonElement Element, string Source, string Path)
{
    /// <summary>Parses a whole file.</summary>
    /// <exception cref="UserException">The file is missing, unreadable or not JSON.</exception>
    public static JsonView Load(string file) => Parse(InputFile.ReadTextBytes(file, "JSON"), file, firstLine: 1);

    /// <summary>What was put together from a file that is not JSON itself.</summary>
    public static JsonView Of(JsonNode node, string file) => Parse(JsonSerializer.SerializeToUtf8Bytes(node), file, firstLine: 1);

    /// <summary>Parses one JSON text that begins at a line of a file.</summary>
    /// <param name="text">UTF-8.</param>
    /// <param name="file">The file, for errors.</param>
    /// <param name="firstLine">Line of the file at which the text begins, from 1.</param>
    /// <param name="source">What errors about values call the text, such as the file with the line; the file if null.</param>
    /// <exception cref="UserException">It is not JSON.</exception>
    public static JsonView Parse(ReadOnlyMemory<byte> text, string file, long firstLine, string? source = null)
    {
        try
        {
            return new JsonView(JsonDocument.Parse(text).RootElement, source ?? file, "");
        }
        catch (JsonException e)
        {
            // The parser's reason without the position, which it repeats and counts from 0.
            int end = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
            string reason = (end < 0 ? e.Message : e.Message[..end]).TrimEnd('.');
            throw new UserException($"{file}: line {firstLine + e.LineNumber}: not JSON: {reason}".ReplaceLineEndings(" "), e);
        }
    }

    /// <summary>The value of a key that must be there.</summary>
    public JsonView this[string key] =>
        Find(key) ?? throw new UserException($"{Source}: {Named(key)} is missing");

    /// <summary>The value of a key, or null where the key is absent or its value is null.</summary>
    public JsonView? Find(string key)
    {
        Expect(JsonValueKind.Object);
        return Element.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null
            ? new JsonView(value, Source, Join(key))
            : null;
    }

    /// <summary>The members of an object in file order.</summary>
    public IEnumerable<KeyValuePair<string, JsonView>> Members()
    {
        Expect(JsonValueKind.Object);
        foreach (JsonProperty property in Element.EnumerateObject())
        {
            yield return new(NameOf(property), new JsonView(property.Value, Source, Path));
        }
    }

    /// <summary>The items of an array.</summary>
    public IEnumerable<JsonView> Items()
    {
        Expect(JsonValueKind.Array);
        foreach (JsonElement item in Element.EnumerateArray())
        {
            yield return new JsonView(item, Source, Path);
        }
    }

    /// <summary>A string.</summary>
    public string AsString()
    {
        Expect(JsonValueKind.String);
        try
        {
            return Element.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw Wrong("a string that is not valid Unicode", "a string", e);
        }
    }

    /// <summary>A 32-bit integer.</summary>
    public int AsInt32() =>
        Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out int value) ? value : throw Wrong(Describe(), "an integer");

    /// <summary>True or false.</summary>
    public bool AsBoolean() => Element.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(Describe(), "true or false"),
    };

    /// <summary>The boolean under a key, or a default where it is absent or null.</summary>
    public bool Flag(string key, bool absent = false) => Find(key)?.AsBoolean() ?? absent;

    /// <summary>An error about this value.</summary>
    public UserException Wrong(string found, string expected, Exception? cause = null)
    {
        string line = $"{Source}: {(Path.Length == 0 ? "the value" : $"'{Path}'")} is {found}; expected {expected}";
        return cause is null ? new UserException(line) : new UserException(line, cause);
    }

    /// <summary>The value in few words, for errors.</summary>
    public string Describe() => Element.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "the string " + Shortened(),
        JsonValueKind.Number => "the number " + Shortened(),
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => "null",
    };

    private void Expect(JsonValueKind kind)
    {
        if (Element.ValueKind != kind)
        {
            throw Wrong(Describe(), kind switch
            {
                JsonValueKind.Object => "an object",
                JsonValueKind.Array => "an array",
                _ => "a string",
            });
        }
    }

    private string Shortened()
    {
        string raw = Element.GetRawText();
        return raw.Length <= 40 ? raw : raw[..40] + "…";
    }

    private string Named(string key) => $"'{Join(key)}'";

    private string Join(string key) => Path.Length == 0 ? key : Path + "." + key;

    private string NameOf(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException e)
        {
            throw Wrong("an object with a key that is not valid Unicode", "an object", e);
        }
    }
}
