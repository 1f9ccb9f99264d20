using System.Collections;
using System.Globalization;
using System.Text;

namespace Forgetting.Text.ChatTemplates;

/// <summary>A name without a value: prints as nothing, is false, and has nothing in it.</summary>
internal sealed record Undefined(string Name);

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
    public object? Get(int position, string name, object? absent) =>
        Get(position, name) is var value && value is Undefined ? absent : value;
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
        Undefined => "",
        TemplateMap map => Enclosed("{", "}", map, Entry),
        List<object?> list => Enclosed("[", "]", list, Written),
        TemplateNamespace space => Enclosed("<Namespace {", "}>", space.Values, e => Quoted(e.Key) + ": " + Written(e.Value)),
        _ => throw new TemplateException("a function or method has no text; expected parentheses that call it"),
    };

    private static string Entry(KeyValuePair<object, object?> entry) => Written(entry.Key) + ": " + Written(entry.Value);

    private static string Enclosed<T>(string open, string close, IEnumerable<T> items, Func<T, string> written)
    {
        TemplateBudget.Enter();
        string text = new TemplateText().Append(open).Join(", ", items.Select(item => (object?)written(item))).Append(close).ToString();
        TemplateBudget.Leave();
        return text;
    }

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

    public static bool AreEqual(object? a, object? b)
    {
        TemplateBudget.Enter();
        bool equal = (a, b) switch
        {
            (null, null) => true,
            (Undefined, Undefined) => true,
            (string s, string t) => TextsEqual(s, t),
            (long n, long m) => n == m,
            (List<object?> s, List<object?> t) => s.Count == t.Count && s.Zip(t).All(p => AreEqual(p.First, p.Second)),
            (TemplateMap s, TemplateMap t) =>
                s.Count == t.Count && s.All(e => t.TryGetValue(e.Key, out object? other) && AreEqual(e.Value, other)),
            _ => Number(a) is double x && Number(b) is double y ? x.Equals(y) : ReferenceEquals(a, b),
        };
        TemplateBudget.Leave();
        return equal;
    }

    private static bool TextsEqual(string a, string b)
    {
        TemplateBudget.Spend(a.Length == b.Length ? a.Length / 64 : 0);
        return a == b;
    }

    public static int Compare(object? a, object? b)
    {
        TemplateBudget.Spend(1);
        if (a is string s && b is string t)
        {
            TemplateBudget.Spend(Math.Min(s.Length, t.Length) / 64);
            return string.CompareOrdinal(s, t);
        }

        if (a is long n && b is long m)
            return n.CompareTo(m);

        return Number(a) is double x && Number(b) is double y
            ? x.CompareTo(y)
            : throw new TemplateException($"cannot compare {TypeName(a)} with {TypeName(b)}");
    }

    /// <summary>Python's <c>in</c>.</summary>
    public static bool Contains(object? container, object? item)
    {
        switch (container)
        {
            case string s:
                string part = item as string ?? throw new TemplateException($"'in' a string needs a string, not {TypeName(item)}");
                TemplateBudget.Search(s.Length, part.Length);
                return s.Contains(part, StringComparison.Ordinal);
            case List<object?> list:
                return list.Exists(i => AreEqual(i, item));
            case TemplateMap map:
                return TemplateMap.IsKey(item) && map.ContainsKey(item!);
            case Undefined:
                return false;
            default:
                throw new TemplateException($"'in' is not defined for {TypeName(container)}");
        }
    }

    /// <summary>What a loop goes over: items, keys or characters.</summary>
    public static List<object?> Items(object? value)
    {
        switch (value)
        {
            case List<object?> list:
                TemplateBudget.List(list.Count);
                return list;
            case TemplateMap map:
                TemplateBudget.List(map.Count);
                return [.. map.Keys];
            case string s:
                // A string of its own for each character.
                TemplateBudget.Allocate(40L * s.Length);
                return [.. s.EnumerateRunes().Select(r => r.ToString())];
            case Undefined:
                return [];
            default:
                throw new TemplateException($"{TypeName(value)} has no items to go over");
        }
    }

    public static long Length(object? value)
    {
        switch (value)
        {
            case string s:
                TemplateBudget.Spend(s.Length / 8);
                return s.EnumerateRunes().Count();
            case List<object?> list:
                return list.Count;
            case TemplateMap map:
                return map.Count;
            case Undefined:
                return 0;
            default:
                throw new TemplateException($"{TypeName(value)} has no length");
        }
    }

    public static object? Item(object? value, object? key) => (value, key) switch
    {
        (TemplateMap map, _) when TemplateMap.IsKey(key) => map.TryGetValue(key!, out object? found) ? found : new Undefined(Text(key)),
        (List<object?> list, long index) => Place(index, list.Count) is int at ? list[at] : new Undefined(Text(index)),
        (string s, long index) =>
            Runes(s) is var runes && Place(index, runes.Length) is int at ? runes[at].ToString() : new Undefined(Text(index)),
        (Undefined u, _) => throw new TemplateException($"'{u.Name}' is undefined"),
        (_, string name) => TemplateMethods.Attribute(value, name),
        _ => new Undefined(Text(key)),
    };

    public static object? Slice(object? value, object? from, object? to, object? by)
    {
        switch (value)
        {
            case string s:
                Rune[] runes = Runes(s);
                var text = new StringBuilder();
                foreach (int place in Places(runes.Length, from, to, by))
                {
                    text.Append(runes[place].ToString());
                }

                return text.ToString();
            case List<object?> list:
                TemplateBudget.List(list.Count);
                return Places(list.Count, from, to, by).Select(place => list[place]).ToList();
            default:
                throw new TemplateException($"{TypeName(value)} cannot be sliced");
        }
    }

    /// <summary>The places that a slice picks, in order.</summary>
    private static IEnumerable<int> Places(long count, object? from, object? to, object? by)
    {
        long step = by is null ? 1 : Integer(by);
        if (step == 0)
            throw new TemplateException("a slice with step 0");

        // Python's rules: negative bounds count from the end, then all are clamped.
        long Bound(object? bound, long absent, long low, long high)
        {
            long place = bound is null ? absent : Integer(bound);
            return Math.Clamp(bound is not null && place < 0 ? place + count : place, low, high);
        }

        if (step > 0)
        {
            long end = Bound(to, count, 0, count);
            for (long i = Bound(from, 0, 0, count); i < end; i += Math.Min(step, count + 1))
            {
                yield return (int)i;
            }
        }
        else
        {
            long end = Bound(to, -1, -1, count - 1);
            for (long i = Bound(from, count - 1, -1, count - 1); i > end; i += Math.Max(step, -count - 1))
            {
                yield return (int)i;
            }
        }
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

    private static Rune[] Runes(string text)
    {
        TemplateBudget.Allocate(8L * text.Length);
        return [.. text.EnumerateRunes()];
    }

    private static int? Place(long index, int count)
    {
        long place = index < 0 ? index + count : index;
        return place >= 0 && place < count ? (int)place : null;
    }

    public static string Named(object? value) => value is Undefined u ? $"'{u.Name}', which is undefined" : TypeName(value);

    private static string Written(double x)
    {
        string text = x.ToString("R", CultureInfo.InvariantCulture);
        return double.IsFinite(x) && text.AsSpan().IndexOfAny(".eE") < 0 ? text + ".0" : text;
    }

    private static string Quoted(string text)
    {
        string quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? "\"" : "'";
        return new TemplateText().Append(quote).Append(text, c => c switch
        {
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            _ => quote[0] == c ? "\\" + c : null,
        }).Append(quote).ToString();
    }
}
