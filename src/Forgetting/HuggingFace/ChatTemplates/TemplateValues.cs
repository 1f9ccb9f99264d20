using System.Collections;
using System.Globalization;
using System.Text;

namespace Forgetting.HuggingFace.ChatTemplates;

/// <summary>A name without a value: prints as nothing, is false, and has nothing in it.</summary>
internal sealed record Undefined(string Name);

/// <summary>A dictionary in insertion order; keys are strings.</summary>
internal sealed class TemplateMap : OrderedDictionary<string, object?>
{
    public TemplateMap()
        : base(StringComparer.Ordinal)
    {
    }
}

/// <summary>What <c>namespace(…)</c> returns: the one thing that a loop's body can change for what comes behind the loop.</summary>
internal sealed class TemplateNamespace
{
    public Dictionary<string, object?> Values { get; } = new(StringComparer.Ordinal);
}

/// <summary>A function: macro, method, or one of the environment's.</summary>
internal delegate object? TemplateFunction(TemplateArguments arguments);

/// <summary>Arguments of a call.</summary>
internal sealed record TemplateArguments(IReadOnlyList<object?> Positional, IReadOnlyDictionary<string, object?> Named)
{
    public static readonly TemplateArguments None = new([], new Dictionary<string, object?>());

    /// <summary>The argument at a position or by name, or <see cref="Undefined"/>.</summary>
    public object? Get(int position, string name) =>
        position < Positional.Count ? Positional[position] : Named.TryGetValue(name, out object? value) ? value : new Undefined(name);

    /// <summary>The argument, or a default where it is not given.</summary>
    public object? Get(int position, string name, object? absent) => Get(position, name) is var value && value is Undefined ? absent : value;
}

/// <summary>
/// Python's rules for the values of a template: null is None, <see cref="long"/> and <see cref="double"/> are numbers, lists are
/// <see cref="List{T}"/> of objects. Strings are indexed by character, not by UTF-16 unit.
/// </summary>
internal static class TemplateValues
{
    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool b => b,
        long n => n != 0,
        double x => x != 0,
        string s => s.Length > 0,
        ICollection c => c.Count > 0,
        _ => true,
    };

    /// <summary>Python's <c>str</c>.</summary>
    public static string Text(object? value) => value switch
    {
        string s => s,
        Undefined => "",
        _ => Written(value),
    };

    /// <summary>Python's <c>repr</c>.</summary>
    public static string Written(object? value) => value switch
    {
        null => "None",
        bool b => b ? "True" : "False",
        long n => n.ToString(CultureInfo.InvariantCulture),
        double x => Written(x),
        string s => Quoted(s),
        TemplateMap map => "{" + string.Join(", ", map.Select(e => Quoted(e.Key) + ": " + Written(e.Value))) + "}",
        List<object?> list => "[" + string.Join(", ", list.Select(Written)) + "]",
        _ => Text(value),
    };

    public static string TypeName(object? value) => value switch
    {
        null => "None",
        Undefined => "undefined",
        bool => "a boolean",
        long or double => "a number",
        string => "a string",
        List<object?> => "a list",
        TemplateMap => "a mapping",
        TemplateNamespace => "a namespace",
        _ => "a function",
    };

    public static bool AreEqual(object? a, object? b) => (a, b) switch
    {
        (null, null) => true,
        (Undefined, Undefined) => true,
        (string s, string t) => s == t,
        (List<object?> s, List<object?> t) => s.Count == t.Count && s.Zip(t).All(p => AreEqual(p.First, p.Second)),
        (TemplateMap s, TemplateMap t) => s.Count == t.Count && s.All(e => t.TryGetValue(e.Key, out object? other) && AreEqual(e.Value, other)),
        _ => Number(a) is double x && Number(b) is double y ? x.Equals(y) : ReferenceEquals(a, b),
    };

    public static int Compare(object? a, object? b)
    {
        if (a is string s && b is string t)
        {
            return string.CompareOrdinal(s, t);
        }

        return Number(a) is double x && Number(b) is double y
            ? x.CompareTo(y)
            : throw new TemplateException($"cannot compare {TypeName(a)} with {TypeName(b)}");
    }

    public static object? Arithmetic(string operation, object? a, object? b)
    {
        if (operation == "+" && a is string s && b is string t)
        {
            return s + t;
        }

        if (operation == "+" && a is List<object?> first && b is List<object?> second)
        {
            return new List<object?>([.. first, .. second]);
        }

        if (operation == "*" && a is string repeated && b is long times)
        {
            return times * repeated.Length < 1 << 20
                ? new StringBuilder().Insert(0, repeated, (int)Math.Max(0, times)).ToString()
                : throw new TemplateException("a repeated string of more than a million characters");
        }

        bool whole = a is long or bool && b is long or bool;
        if (Number(a) is not double x || Number(b) is not double y)
        {
            throw new TemplateException($"'{operation}' is not defined for {Named(a)} and {Named(b)}");
        }

        if (operation is "/" or "//" or "%" && y == 0)
        {
            throw new TemplateException("division by zero");
        }

        double result = operation switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "/" => x / y,
            "//" => Math.Floor(x / y),
            "%" => x - (y * Math.Floor(x / y)),
            _ => Math.Pow(x, y),
        };

        // Integers stay integers but for a true division and a negative power. Templates count messages: double is exact far beyond.
        return whole && operation != "/" && !(operation == "**" && y < 0) ? (object)(long)result : result;
    }

    /// <summary>Python's <c>in</c>.</summary>
    public static bool Contains(object? container, object? item) => container switch
    {
        string s => item is string part ? s.Contains(part, StringComparison.Ordinal) : throw new TemplateException($"'in' a string needs a string, not {TypeName(item)}"),
        List<object?> list => list.Any(i => AreEqual(i, item)),
        TemplateMap map => item is string key && map.ContainsKey(key),
        Undefined => false,
        _ => throw new TemplateException($"'in' is not defined for {TypeName(container)}"),
    };

    /// <summary>What a loop goes over: items, keys or characters.</summary>
    public static List<object?> Items(object? value) => value switch
    {
        List<object?> list => list,
        TemplateMap map => [.. map.Keys],
        string s => [.. Characters(s)],
        Undefined => [],
        _ => throw new TemplateException($"{TypeName(value)} has no items to go over"),
    };

    public static long Length(object? value) => value switch
    {
        string s => s.EnumerateRunes().Count(),
        List<object?> list => list.Count,
        TemplateMap map => map.Count,
        Undefined => 0,
        _ => throw new TemplateException($"{TypeName(value)} has no length"),
    };

    public static object? Item(object? value, object? key) => (value, key) switch
    {
        (TemplateMap map, string name) => map.TryGetValue(name, out object? found) ? found : new Undefined(name),
        (List<object?> list, long index) => At(list, index),
        (string s, long index) => At(Characters(s), index),
        (Undefined u, _) => throw new TemplateException($"'{u.Name}' is undefined"),
        (_, string name) => TemplateMethods.Attribute(value, name),
        _ => new Undefined(Text(key)),
    };

    public static object? Slice(object? value, object? from, object? to, object? by)
    {
        List<object?> items = Items(value is string or List<object?> ? value : throw new TemplateException($"{TypeName(value)} cannot be sliced"));
        long step = by is null ? 1 : Integer(by), count = items.Count;
        if (step == 0)
        {
            throw new TemplateException("a slice with step 0");
        }

        // Python's rules: negative bounds count from the end, then all are clamped.
        long Bound(object? bound, long absent, long low, long high)
        {
            long place = bound is null ? absent : Integer(bound);
            return Math.Clamp(bound is not null && place < 0 ? place + count : place, low, high);
        }

        List<object?> picked = [];
        if (step > 0)
        {
            long end = Bound(to, count, 0, count);
            for (long i = Bound(from, 0, 0, count); i < end; i += Math.Min(step, count + 1))
            {
                picked.Add(items[(int)i]);
            }
        }
        else
        {
            long end = Bound(to, -1, -1, count - 1);
            for (long i = Bound(from, count - 1, -1, count - 1); i > end; i += Math.Max(step, -count - 1))
            {
                picked.Add(items[(int)i]);
            }
        }

        return value is string ? string.Concat(picked) : picked;
    }

    public static long Integer(object? value) => value switch
    {
        long n => n,
        bool b => b ? 1 : 0,
        _ => throw new TemplateException($"expected an integer, not {Named(value)}"),
    };

    public static double? Number(object? value) => value switch
    {
        long n => n,
        double x => x,
        bool b => b ? 1 : 0,
        _ => null,
    };

    private static List<object?> Characters(string text) => [.. text.EnumerateRunes().Select(r => r.ToString())];

    private static object? At(List<object?> list, long index)
    {
        long place = index < 0 ? index + list.Count : index;
        return place >= 0 && place < list.Count ? list[(int)place] : new Undefined(index.ToString(CultureInfo.InvariantCulture));
    }

    private static string Named(object? value) => value is Undefined u ? $"'{u.Name}', which is undefined" : TypeName(value);

    private static string Written(double x)
    {
        string text = x.ToString("R", CultureInfo.InvariantCulture);
        return double.IsFinite(x) && text.AsSpan().IndexOfAny(".eE") < 0 ? text + ".0" : text;
    }

    private static string Quoted(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        StringBuilder quoted = new();
        quoted.Append(quote);
        foreach (char c in text)
        {
            quoted.Append(c switch
            {
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                _ when c == quote => "\\" + c,
                _ => c.ToString(),
            });
        }

        return quoted.Append(quote).ToString();
    }
}
