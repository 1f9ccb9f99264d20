using System.Globalization;
using System.Text;

namespace Forgetting.HuggingFace.ChatTemplates;

/// <summary>Filters (<c>value | name</c>) and tests (<c>value is name</c>).</summary>
internal static class TemplateFilters
{
    /// <summary>Applies a filter.</summary>
    public static object? Apply(string name, object? value, TemplateArguments arguments)
    {
        switch (name)
        {
            case "trim":
                return TemplateMethods.Strip(TemplateValues.Text(value), arguments, start: true, end: true);
            case "upper":
                return TemplateValues.Text(value).ToUpperInvariant();
            case "lower":
                return TemplateValues.Text(value).ToLowerInvariant();
            case "title":
                return TemplateMethods.Title(TemplateValues.Text(value));
            case "capitalize":
                return TemplateMethods.Capitalized(TemplateValues.Text(value));
            case "replace":
                return TemplateMethods.Replace(TemplateValues.Text(value), Text(arguments, 0), Text(arguments, 1), arguments.Get(2, "count", -1L));
            case "string":
                return TemplateValues.Text(value);
            case "safe":
                return value;
            case "length" or "count":
                return TemplateValues.Length(value);
            case "join":
                return string.Join(TemplateValues.Text(arguments.Get(0, "d", "")), Mapped(value, arguments.Get(1, "attribute", null)).Select(TemplateValues.Text));
            case "default" or "d":
                bool replaced = value is Undefined || (TemplateValues.IsTrue(arguments.Get(1, "boolean", false)) && !TemplateValues.IsTrue(value));
                return replaced ? arguments.Get(0, "default_value", "") : value;
            case "first":
                return TemplateValues.Items(value) is [var first, ..] ? first : new Undefined("first item");
            case "last":
                return TemplateValues.Items(value) is [.., var last] ? last : new Undefined("last item");
            case "list":
                return TemplateValues.Items(value).ToList();
            case "items":
                return value is TemplateMap map ? TemplateMethods.Pairs(map)
                    : value is Undefined ? new List<object?>()
                    : throw new TemplateException($"{TemplateValues.TypeName(value)} has no items");
            case "dictsort":
                return value is TemplateMap sorted
                    ? TemplateMethods.Pairs(sorted).OrderBy(p => TemplateValues.Text(((List<object?>)p!)[0]), StringComparer.OrdinalIgnoreCase).ToList()
                    : throw new TemplateException($"{TemplateValues.TypeName(value)} has no items");
            case "reverse":
                return value is string text
                    ? TemplateValues.Slice(text, null, null, -1L)
                    : TemplateValues.Slice(TemplateValues.Items(value), null, null, -1L);
            case "sort":
                return TemplateValues.Items(value).Order(Comparer<object?>.Create(TemplateValues.Compare)).ToList();
            case "unique":
                return Unique(TemplateValues.Items(value));
            case "map":
                return arguments.Named.TryGetValue("attribute", out object? attribute)
                    ? Mapped(value, attribute)
                    : TemplateValues.Items(value).Select(i => Apply(Text(arguments, 0), i, Rest(arguments, 1))).ToList();
            case "select" or "reject":
                return TemplateValues.Items(value).Where(i => Holds(i, arguments, 0) == (name == "select")).ToList();
            case "selectattr" or "rejectattr":
                string key = Text(arguments, 0);
                return TemplateValues.Items(value).Where(i => Holds(TemplateValues.Item(i, key), arguments, 1) == (name == "selectattr")).ToList();
            case "int":
                return ToInteger(value, arguments.Get(0, "default", 0L));
            case "float":
                return TemplateValues.Number(value)
                    ?? (double.TryParse(value as string, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? real : arguments.Get(0, "default", 0.0));
            case "abs":
                return value is long n ? (object)Math.Abs(n) : Math.Abs(TemplateValues.Number(value) ?? throw new TemplateException("abs of what is no number"));
            case "min" or "max":
                List<object?> ordered = [.. TemplateValues.Items(value).Order(Comparer<object?>.Create(TemplateValues.Compare))];
                return ordered.Count == 0 ? new Undefined(name) : name == "min" ? ordered[0] : ordered[^1];
            case "sum":
                return TemplateValues.Items(value).Aggregate((object?)0L, (total, i) => TemplateValues.Arithmetic("+", total, i));
            case "indent":
                return Indented(TemplateValues.Text(value), arguments);
            case "tojson":
                return ToJson(value, arguments.Get(0, "indent", null));
            default:
                throw new TemplateException($"unknown filter '{name}'");
        }
    }

    /// <summary>Applies a test.</summary>
    public static bool Test(string name, object? value, TemplateArguments arguments)
    {
        object? other = arguments.Positional.Count > 0 ? arguments.Positional[0] : null;
        return name switch
        {
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "none" => value is null,
            "string" => value is string,
            "mapping" => value is TemplateMap,
            "sequence" or "iterable" => value is string or List<object?> or TemplateMap or Undefined,
            "number" => value is long or double or bool,
            "integer" => value is long,
            "float" => value is double,
            "boolean" => value is bool,
            "true" => value is true,
            "false" => value is false,
            "callable" => value is TemplateFunction,
            "odd" => TemplateValues.Integer(value) % 2 != 0,
            "even" => TemplateValues.Integer(value) % 2 == 0,
            "divisibleby" => TemplateValues.Integer(other) != 0 && TemplateValues.Integer(value) % TemplateValues.Integer(other) == 0,
            "eq" or "equalto" or "==" or "sameas" => TemplateValues.AreEqual(value, other),
            "ne" or "!=" => !TemplateValues.AreEqual(value, other),
            "lt" or "lessthan" or "<" => TemplateValues.Compare(value, other) < 0,
            "le" or "<=" => TemplateValues.Compare(value, other) <= 0,
            "gt" or "greaterthan" or ">" => TemplateValues.Compare(value, other) > 0,
            "ge" or ">=" => TemplateValues.Compare(value, other) >= 0,
            "in" => TemplateValues.Contains(other, value),
            _ => throw new TemplateException($"unknown test '{name}'"),
        };
    }

    private static string Text(TemplateArguments arguments, int position) =>
        position < arguments.Positional.Count
            ? TemplateValues.Text(arguments.Positional[position])
            : throw new TemplateException(string.Create(CultureInfo.InvariantCulture, $"a filter lacks argument {position + 1}"));

    private static TemplateArguments Rest(TemplateArguments arguments, int from) => new([.. arguments.Positional.Skip(from)], arguments.Named);

    private static bool Holds(object? value, TemplateArguments arguments, int test) =>
        arguments.Positional.Count > test ? Test(Text(arguments, test), value, Rest(arguments, test + 1)) : TemplateValues.IsTrue(value);

    private static List<object?> Mapped(object? value, object? attribute) =>
        attribute is string name ? [.. TemplateValues.Items(value).Select(i => TemplateValues.Item(i, name))] : TemplateValues.Items(value);

    private static List<object?> Unique(List<object?> items)
    {
        List<object?> unique = [];
        foreach (object? item in items)
        {
            if (!unique.Exists(u => TemplateValues.AreEqual(u, item)))
            {
                unique.Add(item);
            }
        }

        return unique;
    }

    private static object? ToInteger(object? value, object? absent) => value switch
    {
        string s => long.TryParse(s.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long n) ? n
            : double.TryParse(s, NumberStyles.Float, CultureInfo.InvariantCulture, out double x) ? (long)x : absent,
        _ => TemplateValues.Number(value) is double number ? (long)number : absent,
    };

    private static string Indented(string text, TemplateArguments arguments)
    {
        object? width = arguments.Get(0, "width", 4L);
        string prefix = width as string ?? new string(' ', (int)Math.Clamp(TemplateValues.Integer(width), 0, 100));
        bool first = TemplateValues.IsTrue(arguments.Get(1, "first", false)), blank = TemplateValues.IsTrue(arguments.Get(2, "blank", false));
        return string.Join('\n', text.Split('\n').Select((line, i) => (i == 0 ? first : blank || line.Length > 0) ? prefix + line : line));
    }

    /// <summary>Python's <c>json.dumps(value, ensure_ascii=False, indent=indent)</c>, which is what Hugging Face puts in place of Jinja's own.</summary>
    private static string ToJson(object? value, object? indent)
    {
        StringBuilder json = new();
        Write(value, indent is null ? null : new string(' ', (int)Math.Clamp(TemplateValues.Integer(indent), 0, 100)), "\n", json);
        return json.ToString();
    }

    private static void Write(object? value, string? step, string line, StringBuilder json)
    {
        switch (value)
        {
            case null:
                json.Append("null");
                break;
            case bool b:
                json.Append(b ? "true" : "false");
                break;
            case long or double:
                json.Append(TemplateValues.Text(value));
                break;
            case string s:
                WriteString(s, json);
                break;
            case TemplateMap map:
                Enclose('{', '}', map, e =>
                {
                    WriteString(e.Key, json);
                    json.Append(": ");
                    Write(e.Value, step, line + step, json);
                });
                break;
            case List<object?> list:
                Enclose('[', ']', list, item => Write(item, step, line + step, json));
                break;
            default:
                throw new TemplateException($"{TemplateValues.TypeName(value)} has no JSON");
        }

        void Enclose<T>(char open, char close, IReadOnlyCollection<T> items, Action<T> write)
        {
            json.Append(open);
            string separator = "";
            foreach (T item in items)
            {
                json.Append(separator).Append(step is null ? "" : line + step);
                write(item);
                separator = step is null ? ", " : ",";
            }

            json.Append(step is null || items.Count == 0 ? "" : line).Append(close);
        }
    }

    private static void WriteString(string text, StringBuilder json)
    {
        json.Append('"');
        foreach (char c in text)
        {
            json.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => c.ToString(),
            });
        }

        json.Append('"');
    }
}
