using System.Globalization;

namespace Forgetting.HuggingFace.ChatTemplates;

/// <summary>Attributes and methods of values: those of Python's strings, dictionaries and lists that templates call and that change nothing.</summary>
internal static class TemplateMethods
{
    /// <summary><c>value.name</c>: a method or an entry, or <see cref="Undefined"/>.</summary>
    public static object? Attribute(object? value, string name) => value switch
    {
        string text => (object?)OfString(text, name) ?? new Undefined(name),
        TemplateMap map => OfMap(map, name) ?? (map.TryGetValue(name, out object? entry) ? entry : new Undefined(name)),
        TemplateNamespace space => space.Values.TryGetValue(name, out object? held) ? held : new Undefined(name),
        List<object?> list => (object?)OfList(list, name) ?? new Undefined(name),
        Undefined undefined => throw new TemplateException($"'{undefined.Name}' is undefined"),
        _ => new Undefined(name),
    };

    private static TemplateFunction? OfString(string s, string name) => name switch
    {
        "strip" => a => Strip(s, a, start: true, end: true),
        "lstrip" => a => Strip(s, a, start: true, end: false),
        "rstrip" => a => Strip(s, a, start: false, end: true),
        "upper" => _ => s.ToUpperInvariant(),
        "lower" => _ => s.ToLowerInvariant(),
        "title" => _ => Title(s),
        "capitalize" => _ => Capitalized(s),
        "startswith" => a => Any(a, p => s.StartsWith(p, StringComparison.Ordinal)),
        "endswith" => a => Any(a, p => s.EndsWith(p, StringComparison.Ordinal)),
        "removeprefix" => a => s.StartsWith(String(a, 0), StringComparison.Ordinal) ? s[String(a, 0).Length..] : s,
        "removesuffix" => a => s.EndsWith(String(a, 0), StringComparison.Ordinal) ? s[..^String(a, 0).Length] : s,
        "replace" => a => Replace(s, String(a, 0), String(a, 1), a.Get(2, "count", -1L)),
        "split" => a => Split(s, a, fromEnd: false),
        "rsplit" => a => Split(s, a, fromEnd: true),
        "splitlines" => _ => Lines(s),
        "find" => a => CharactersBefore(s, s.IndexOf(String(a, 0), StringComparison.Ordinal)),
        "rfind" => a => CharactersBefore(s, s.LastIndexOf(String(a, 0), StringComparison.Ordinal)),
        "count" => a => Count(s, String(a, 0)),
        "join" => a => string.Join(s, TemplateValues.Items(a.Get(0, "iterable")).Select(TemplateValues.Text)),
        "isdigit" => _ => s.Length > 0 && s.All(char.IsDigit),
        "isalpha" => _ => s.Length > 0 && s.All(char.IsLetter),
        "isspace" => _ => s.Length > 0 && s.All(char.IsWhiteSpace),
        _ => null,
    };

    private static TemplateFunction? OfMap(TemplateMap map, string name) => name switch
    {
        "items" => _ => Pairs(map),
        "keys" => _ => map.Keys.ToList<object?>(),
        "values" => _ => map.Values.ToList(),
        "get" => a => map.TryGetValue(String(a, 0), out object? value) ? value : a.Get(1, "default", null),
        _ => null,
    };

    private static TemplateFunction? OfList(List<object?> list, string name) => name switch
    {
        "index" => a => list.FindIndex(i => TemplateValues.AreEqual(i, a.Get(0, "value"))) is var place and >= 0
            ? (long)place
            : throw new TemplateException("the list does not have this item"),
        "count" => a => (long)list.Count(i => TemplateValues.AreEqual(i, a.Get(0, "value"))),
        _ => null,
    };

    /// <summary>Each entry as a list of key and value.</summary>
    public static List<object?> Pairs(TemplateMap map) => [.. map.Select(e => new List<object?> { e.Key, e.Value })];

    /// <summary>Every word with a capital.</summary>
    public static string Title(string s) => string.Concat(s.Select((c, i) =>
        i == 0 || !char.IsLetter(s[i - 1]) ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c)));

    /// <summary>The first letter a capital, the others small.</summary>
    public static string Capitalized(string s) => s.Length == 0 ? s : char.ToUpperInvariant(s[0]) + s[1..].ToLowerInvariant();

    /// <summary>Replaces the first <paramref name="count"/> occurrences, or all if it is negative.</summary>
    public static string Replace(string s, string old, string with, object? count)
    {
        long left = TemplateValues.Integer(count);
        if (left < 0 && old.Length > 0)
        {
            return s.Replace(old, with, StringComparison.Ordinal);
        }

        int at = 0;
        while (left-- > 0 && old.Length > 0 && (at = s.IndexOf(old, at, StringComparison.Ordinal)) >= 0)
        {
            s = s[..at] + with + s[(at + old.Length)..];
            at += with.Length;
        }

        return s;
    }

    /// <summary>Removes white space, or any of the characters given, from the ends.</summary>
    public static string Strip(string s, TemplateArguments arguments, bool start, bool end)
    {
        char[]? characters = arguments.Get(0, "chars", null) is string given ? given.ToCharArray() : null;
        s = start ? s.TrimStart(characters) : s;
        return end ? s.TrimEnd(characters) : s;
    }

    private static List<object?> Split(string s, TemplateArguments arguments, bool fromEnd)
    {
        object? separator = arguments.Get(0, "sep", null);
        long most = TemplateValues.Integer(arguments.Get(1, "maxsplit", -1L));
        if (separator is null)
        {
            string[] words = s.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            return most < 0 || words.Length <= most + 1
                ? [.. words]
                : throw new TemplateException("split at white space with a limit is not supported");
        }

        if (separator is not string { Length: > 0 } mark)
        {
            throw new TemplateException("split needs a separator that is not empty");
        }

        List<string> parts = [.. s.Split(mark)];
        while (most >= 0 && parts.Count > most + 1)
        {
            // Joins what was cut too often, at the end that is to stay whole.
            int at = fromEnd ? 0 : parts.Count - 2;
            parts[at] += mark + parts[at + 1];
            parts.RemoveAt(at + 1);
        }

        return [.. parts];
    }

    private static List<object?> Lines(string s)
    {
        string[] lines = s.ReplaceLineEndings("\n").Split('\n');
        return [.. lines[^1].Length == 0 ? lines[..^1] : lines];
    }

    private static long CharactersBefore(string s, int units) => units < 0 ? -1 : s.AsSpan(0, units).EnumerateRunesCount();

    private static long EnumerateRunesCount(this ReadOnlySpan<char> span)
    {
        long count = 0;
        foreach (System.Text.Rune _ in span.EnumerateRunes())
        {
            count++;
        }

        return count;
    }

    private static long Count(string s, string part)
    {
        long count = 0;
        for (int at = 0; part.Length > 0 && (at = s.IndexOf(part, at, StringComparison.Ordinal)) >= 0; at += part.Length)
        {
            count++;
        }

        return count;
    }

    private static bool Any(TemplateArguments arguments, Func<string, bool> holds) =>
        arguments.Get(0, "prefix") is List<object?> several ? several.Any(p => p is string s && holds(s)) : holds(String(arguments, 0));

    private static string String(TemplateArguments arguments, int position) =>
        position < arguments.Positional.Count && arguments.Positional[position] is string s
            ? s
            : throw new TemplateException(string.Create(CultureInfo.InvariantCulture, $"argument {position + 1} of a method is not a string"));
}
