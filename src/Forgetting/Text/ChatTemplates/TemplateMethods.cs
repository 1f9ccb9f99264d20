using System.Globalization;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// Attributes and methods of values: those of Python's strings, dictionaries and lists that templates call and that change nothing.
/// </summary>
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
        "upper" => _ => Upper(s),
        "lower" => _ => Lower(s),
        "title" => _ => Title(s, c => !char.IsLetter(c)),
        "capitalize" => _ => Capitalized(s),
        "startswith" => a => Any(a, p => StartsWith(s, p)),
        "endswith" => a => Any(a, p => EndsWith(s, p)),
        "removeprefix" => a => StartsWith(s, String(a, 0)) ? Part(s, String(a, 0).Length, s.Length) : s,
        "removesuffix" => a => EndsWith(s, String(a, 0)) ? Part(s, 0, s.Length - String(a, 0).Length) : s,
        "replace" => a => Replace(s, String(a, 0), String(a, 1), a.Get(2, "count", -1L)),
        "split" => a => Split(s, a, fromEnd: false),
        "rsplit" => a => Split(s, a, fromEnd: true),
        "splitlines" => _ => Lines(s),
        "find" => a => CharactersBefore(s, Find(s, String(a, 0))),
        "rfind" => a => CharactersBefore(s, FindLast(s, String(a, 0))),
        "count" => a => (long)Count(s, String(a, 0)),
        "join" => a => new TemplateText().Join(s, TemplateValues.Items(a.Get(0, "iterable"))).ToString(),
        "isdigit" => _ => All(s, char.IsDigit),
        "isalpha" => _ => All(s, char.IsLetter),
        "isspace" => _ => All(s, char.IsWhiteSpace),
        _ => null,
    };

    private static TemplateFunction? OfMap(TemplateMap map, string name) => name switch
    {
        "items" => _ => Pairs(map),
        "keys" => _ => TemplateValues.Items(map),
        "values" => _ => TemplateValues.Items(map).ConvertAll(key => map[key!]),
        "get" => a => map.TryGetValue(TemplateMap.Key(a.Get(0, "key")), out object? value) ? value : a.Get(1, "default", null),
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
    public static List<object?> Pairs(TemplateMap map)
    {
        TemplateBudget.Allocate(100L * map.Count);
        return [.. map.Select(e => new List<object?> { e.Key, e.Value })];
    }

    /// <summary>All letters capitals.</summary>
    public static string Upper(string s) => Written(s).ToUpperInvariant();

    /// <summary>All letters small.</summary>
    public static string Lower(string s) => Written(s).ToLowerInvariant();

    /// <summary>Every word with a capital.</summary>
    /// <param name="s">The text.</param>
    /// <param name="parts">Whether words begin behind a character: Python's method and Jinja's filter differ in it.</param>
    public static string Title(string s, Func<char, bool> parts) => string.Create(Written(s).Length, s, (title, text) =>
    {
        for (int i = 0; i < title.Length; i++)
        {
            title[i] = i == 0 || parts(text[i - 1]) ? char.ToUpperInvariant(text[i]) : char.ToLowerInvariant(text[i]);
        }
    });

    /// <summary>The first letter a capital, the others small.</summary>
    public static string Capitalized(string s) => Written(s).Length == 0 ? s : char.ToUpperInvariant(s[0]) + s[1..].ToLowerInvariant();

    /// <summary>
    /// Replaces the first <paramref name="count"/> occurrences, or all if it is negative. The empty text stands
    /// before every character and at the end.
    /// </summary>
    public static string Replace(string s, string old, string with, object? count)
    {
        long left = TemplateValues.Integer(count);
        left = left < 0 ? long.MaxValue : left;
        TemplateText replaced = new();
        int done = 0;
        if (old.Length == 0)
        {
            TemplateBudget.Spend(s.Length);
            for (; left > 0 && done < s.Length; left--)
            {
                int next = done + (char.IsHighSurrogate(s[done]) && done + 1 < s.Length ? 2 : 1);
                replaced.Append(with).Append(s.AsSpan(done, next - done));
                done = next;
            }

            return replaced.Append(s.AsSpan(done)).Append(left > 0 ? with : "").ToString();
        }

        TemplateBudget.Search(s.Length, old.Length);
        for (int at; left > 0 && (at = s.IndexOf(old, done, StringComparison.Ordinal)) >= 0; left--)
        {
            TemplateBudget.Spend(1);
            replaced.Append(s.AsSpan(done, at - done)).Append(with);
            done = at + old.Length;
        }

        return done == 0 ? s : replaced.Append(s.AsSpan(done)).ToString();
    }

    /// <summary>Removes white space, or any of the characters given, from the ends.</summary>
    public static string Strip(string s, TemplateArguments arguments, bool start, bool end)
    {
        char[]? characters = arguments.Get(0, "chars", null) is string given ? given.ToCharArray() : null;
        TemplateBudget.Search(Written(s).Length, characters?.Length ?? 0);
        s = start ? s.TrimStart(characters) : s;
        return end ? s.TrimEnd(characters) : s;
    }

    // The text, paid for once more: the result is about as long.
    private static string Written(string s)
    {
        TemplateBudget.Write(s.Length);
        return s;
    }

    private static string Part(string s, int from, int to)
    {
        TemplateBudget.Write(to - from);
        return s[from..to];
    }

    private static bool StartsWith(string s, string start)
    {
        TemplateBudget.Spend(start.Length / 16);
        return s.StartsWith(start, StringComparison.Ordinal);
    }

    private static bool EndsWith(string s, string end)
    {
        TemplateBudget.Spend(end.Length / 16);
        return s.EndsWith(end, StringComparison.Ordinal);
    }

    private static bool All(string s, Func<char, bool> holds)
    {
        TemplateBudget.Spend(s.Length / 4);
        return s.Length > 0 && s.All(holds);
    }

    private static int Find(string s, string part)
    {
        TemplateBudget.Search(s.Length, part.Length);
        return s.IndexOf(part, StringComparison.Ordinal);
    }

    private static int FindLast(string s, string part)
    {
        TemplateBudget.Search(s.Length, part.Length);
        return s.LastIndexOf(part, StringComparison.Ordinal);
    }

    private static List<object?> Split(string s, TemplateArguments arguments, bool fromEnd)
    {
        object? separator = arguments.Get(0, "sep", null);
        long most = TemplateValues.Integer(arguments.Get(1, "maxsplit", -1L));
        if (separator is null)
        {
            // At worst every second character is a word.
            TemplateBudget.Allocate(20L * s.Length);
            string[] words = s.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            return most < 0 || words.Length <= most + 1
                ? [.. words]
                : throw new TemplateException("split at white space with a limit is not supported");
        }

        if (separator is not string { Length: > 0 } mark)
            throw new TemplateException("split needs a separator that is not empty");

        int cuts = Count(s, mark);
        cuts = most < 0 ? cuts : (int)Math.Min(cuts, most);
        TemplateBudget.Allocate((40L * (cuts + 1)) + (2L * s.Length));
        List<object?> parts = [];
        if (fromEnd)
        {
            int end = s.Length;
            for (; cuts > 0; cuts--)
            {
                int at = s.AsSpan(0, end).LastIndexOf(mark);
                parts.Add(s[(at + mark.Length)..end]);
                end = at;
            }

            parts.Add(s[..end]);
            parts.Reverse();
            return parts;
        }

        return [.. s.Split(mark, cuts + 1)];
    }

    private static List<object?> Lines(string s)
    {
        TemplateBudget.Allocate(44L * s.Length);
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

    private static int Count(string s, string part)
    {
        TemplateBudget.Search(s.Length, part.Length);
        int count = 0;
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
            : throw new TemplateException(
                string.Create(CultureInfo.InvariantCulture, $"argument {position + 1} of a method is not a string"));
}
