using System.Globalization;

namespace Forgetting.Text.ChatTemplates;

/// <summary>Filters (<c>value | name</c>) and tests (<c>value is name</c>).</summary>
internal static class TemplateFilters
{
    /// <summary>Applies a filter.</summary>
    public static object? Apply(string name, object? value, TemplateArguments arguments)
    {
        // A filter can apply the next: map("map", …).
        TemplateBudget.Enter();
        object? result = ApplyInner(name, value, arguments);
        TemplateBudget.Leave();
        return result;
    }

    private static object? ApplyInner(string name, object? value, TemplateArguments arguments)
    {
        switch (name)
        {
            case "trim":
                return TemplateMethods.Strip(TemplateValues.Text(value), arguments, start: true, end: true);
            case "upper":
                return TemplateMethods.Upper(TemplateValues.Text(value));
            case "lower":
                return TemplateMethods.Lower(TemplateValues.Text(value));
            case "title":
                return TemplateMethods.Title(TemplateValues.Text(value), c => c is '-' or '(' or '{' or '[' or '<' || char.IsWhiteSpace(c));
            case "capitalize":
                return TemplateMethods.Capitalized(TemplateValues.Text(value));
            case "replace":
                return TemplateMethods.Replace(
                    TemplateValues.Text(value), Text(arguments, 0), Text(arguments, 1), arguments.Get(2, "count", -1L));
            case "string":
                return TemplateValues.Text(value);
            case "safe":
                return value;
            case "length" or "count":
                return TemplateValues.Length(value);
            case "join":
                return new TemplateText()
                    .Join(TemplateValues.Text(arguments.Get(0, "d", "")), Mapped(value, arguments.Get(1, "attribute", null)))
                    .ToString();
            case "default" or "d":
                bool replaced =
                    value is Undefined || (TemplateValues.IsTrue(arguments.Get(1, "boolean", false)) && !TemplateValues.IsTrue(value));
                return replaced ? arguments.Get(0, "default_value", "") : value;
            case "first":
                return TemplateValues.Items(value) is [var first, ..] ? first : new Undefined("first item");
            case "last":
                return TemplateValues.Items(value) is [.., var last] ? last : new Undefined("last item");
            case "list":
                return TemplateValues.Items(value).ToList();
            case "items":
                return value is Undefined ? new List<object?>() : TemplateMethods.Pairs(Mapping(value));
            case "dictsort":
                long part = arguments.Get(1, "by", "key") switch
                {
                    "key" => 0,
                    "value" => 1,
                    _ => throw new TemplateException("dictsort sorts by 'key' or 'value'"),
                };
                return TemplateOrder.Sort(TemplateMethods.Pairs(Mapping(value)), part, arguments, caseSensitive: 0, descending: 2);
            case "reverse":
                return value is string text
                    ? TemplateValues.Slice(text, null, null, -1L)
                    : TemplateValues.Slice(TemplateValues.Items(value), null, null, -1L);
            case "sort":
                return TemplateOrder.Sort(
                    TemplateValues.Items(value), arguments.Get(2, "attribute", null), arguments, caseSensitive: 1, descending: 0);
            case "unique":
                return TemplateOrder.Unique(TemplateValues.Items(value), arguments);
            case "min" or "max":
                return TemplateOrder.Extreme(TemplateValues.Items(value), arguments, name);
            case "map":
                return !TemplateValues.IsTrue(value) ? new List<object?>()
                    : arguments.Named.TryGetValue("attribute", out object? attribute)
                    ? Mapped(value, attribute, arguments.Get(int.MaxValue, "default", null))
                    : TemplateValues.Items(value).ConvertAll(i => Apply(Text(arguments, 0), i, Rest(arguments, 1)));
            case "select" or "reject":
                // Jinja goes over nothing that is false: of none nothing is selected.
                return !TemplateValues.IsTrue(value) ? new List<object?>() : TemplateValues.Items(value)
                    .FindAll(i => Holds(i, arguments, 0) == (name == "select"));
            case "selectattr" or "rejectattr":
                string key = Text(arguments, 0);
                return !TemplateValues.IsTrue(value) ? new List<object?>()
                    : TemplateValues.Items(value)
                        .FindAll(i => Holds(TemplateOrder.AttributeOf(i, key), arguments, 1) == (name == "selectattr"));
            case "int":
                return ToInteger(value, arguments.Get(0, "default", 0L));
            case "float":
                return TemplateValues.Number(value)
                    ?? (double.TryParse(value as string, NumberStyles.Float, CultureInfo.InvariantCulture, out double real)
                        ? real
                        : arguments.Get(0, "default", 0.0));
            case "abs":
                return value is long n
                    ? (object)TemplateArithmetic.Checked(Int128.Abs(n))
                    : Math.Abs(TemplateValues.Number(value) ?? throw new TemplateException("abs of what is no number"));
            case "sum":
                return Mapped(value, arguments.Get(0, "attribute", null)).Aggregate(
                    arguments.Get(1, "start", 0L), (total, i) => TemplateArithmetic.Apply("+", total, i));
            case "indent":
                return Indented(TemplateValues.Text(value), arguments);
            case "tojson":
                return ToJson(value, arguments.Get(int.MaxValue, "indent", arguments.Get(0, "indent", null)));
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
            "divisibleby" => TemplateArithmetic.Apply("%", TemplateValues.Integer(value), TemplateValues.Integer(other)) is 0L,
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

    private static TemplateArguments Rest(TemplateArguments arguments, int from)
    {
        TemplateBudget.List(arguments.Positional.Count);
        return new([.. arguments.Positional.Skip(from)], arguments.Named);
    }

    private static bool Holds(object? value, TemplateArguments arguments, int test)
    {
        TemplateBudget.Spend(1);
        return arguments.Positional.Count > test
            ? Test(Text(arguments, test), value, Rest(arguments, test + 1))
            : TemplateValues.IsTrue(value);
    }

    private static List<object?> Mapped(object? value, object? attribute, object? absent = null) => attribute is null
        ? TemplateValues.Items(value)
        : TemplateValues.Items(value)
            .ConvertAll(i => TemplateOrder.AttributeOf(i, attribute) is var found && found is Undefined && absent != null ? absent : found);

    private static TemplateMap Mapping(object? value) =>
        value as TemplateMap ?? throw new TemplateException($"{TemplateValues.TypeName(value)} has no items");

    private static object? ToInteger(object? value, object? absent) => value switch
    {
        string s => long.TryParse(s.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long n) ? n
            : double.TryParse(s, NumberStyles.Float, CultureInfo.InvariantCulture, out double x) ? Whole(x) : absent,
        long n => n,
        _ => TemplateValues.Number(value) is double number ? Whole(number) : absent,
    };

    private static long Whole(double x) => TemplateArithmetic.Checked(double.IsFinite(x) ? (Int128)x : Int128.MaxValue);

    private static string Indented(string text, TemplateArguments arguments)
    {
        object? width = arguments.Get(0, "width", 4L);
        string prefix = width as string ?? new string(' ', (int)Math.Clamp(TemplateValues.Integer(width), 0, 100));
        bool first = TemplateValues.IsTrue(arguments.Get(1, "first", false)),
            blank = TemplateValues.IsTrue(arguments.Get(2, "blank", false));
        TemplateText indented = new();
        for (int start = 0; start <= text.Length;)
        {
            int newline = text.IndexOf('\n', start), end = newline < 0 ? text.Length : newline;
            bool moved = start == 0 ? first : blank || end > start;
            indented.Append(moved ? prefix : "").Append(text.AsSpan(start, Math.Min(end + 1, text.Length) - start));
            start = end + 1;
        }

        return indented.ToString();
    }

    /// <summary>
    /// Python's <c>json.dumps(value, ensure_ascii=False, indent=indent)</c>, which is what Hugging Face puts in place of Jinja's own.
    /// </summary>
    private static string ToJson(object? value, object? indent)
    {
        TemplateText json = new();
        Write(value, indent is null ? null : new string(' ', (int)Math.Clamp(TemplateValues.Integer(indent), 0, 100)), "\n", json);
        return json.ToString();
    }

    private static void Write(object? value, string? step, string line, TemplateText json)
    {
        TemplateBudget.Enter();
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
                Enclose("{", "}", map, e =>
                {
                    WriteString(
                        e.Key is string name ? name : e.Key is bool flag ? (flag ? "true" : "false") : TemplateValues.Text(e.Key), json);
                    json.Append(": ");
                    Write(e.Value, step, line + step, json);
                });
                break;
            case List<object?> list:
                Enclose("[", "]", list, item => Write(item, step, line + step, json));
                break;
            default:
                throw new TemplateException($"{TemplateValues.TypeName(value)} has no JSON");
        }

        TemplateBudget.Leave();

        void Enclose<T>(string open, string close, IReadOnlyCollection<T> items, Action<T> write)
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

    private static void WriteString(string text, TemplateText json) => json.Append("\"").Append(text, c => c switch
    {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\b' => "\\b",
        '\f' => "\\f",
        < ' ' => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
        _ => null,
    }).Append("\"");
}
