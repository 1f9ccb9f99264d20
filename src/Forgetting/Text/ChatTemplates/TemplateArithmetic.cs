namespace Forgetting.Text.ChatTemplates;

/// <summary>Python's arithmetic: integers stay integers, here of 64 bits; texts and lists are added and repeated.</summary>
internal static class TemplateArithmetic
{
    /// <summary>One of <c>+ - * / // % **</c>.</summary>
    public static object? Apply(string operation, object? a, object? b)
    {
        TemplateBudget.Spend(1);
        switch (operation, a, b)
        {
            case ("+", string s, string t):
                TemplateBudget.Write((long)s.Length + t.Length);
                return s + t;
            case ("+", List<object?> first, List<object?> second):
                TemplateBudget.List((long)first.Count + second.Count);
                return new List<object?>([.. first, .. second]);
            case ("*", string or List<object?>, long times):
                return Repeated(a, times);
            case ("*", long times, string or List<object?>):
                return Repeated(b, times);
        }

        if (TemplateValues.Number(a) is not double x || TemplateValues.Number(b) is not double y)
            throw new TemplateException($"'{operation}' is not defined for {TemplateValues.Named(a)} and {TemplateValues.Named(b)}");

        if (operation is "/" or "//" or "%" && y == 0)
            throw new TemplateException("division by zero");

        bool whole = a is long or bool && b is long or bool;
        return whole && operation != "/" && !(operation == "**" && y < 0)
            ? (object)Whole(operation, TemplateValues.Integer(a), TemplateValues.Integer(b))
            : Real(operation, x, y);
    }

    /// <summary>An integer that the 64 bits here hold; Python's have no end.</summary>
    public static long Checked(Int128 value) => value >= long.MinValue && value <= long.MaxValue
        ? (long)value
        : throw new TemplateException("an integer of more than 64 bits");

    private static double Real(string operation, double x, double y) => operation switch
    {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "//" => Math.Floor(x / y),
        "%" => x - (y * Math.Floor(x / y)),
        _ => Math.Pow(x, y),
    };

    private static long Whole(string operation, Int128 a, Int128 b) => operation switch
    {
        "+" => Checked(a + b),
        "-" => Checked(a - b),
        "*" => Checked(a * b),
        "//" => Checked((a - Modulus(a, b)) / b),
        "%" => Checked(Modulus(a, b)),
        _ => Power(a, b),
    };

    // Of the sign of the divisor.
    private static Int128 Modulus(Int128 a, Int128 b) => ((a % b) + b) % b;

    private static long Power(Int128 a, Int128 exponent)
    {
        if (a >= -1 && a <= 1)
            return exponent == 0 ? 1 : (long)(a == -1 && Int128.IsEvenInteger(exponent) ? 1 : a);

        // Any other base leaves the 64 bits before its 64th power.
        Int128 power = 1;
        for (Int128 i = 0; i < exponent; i++)
        {
            power = Checked(power * a);
        }

        return (long)power;
    }

    private static object Repeated(object value, long times)
    {
        times = Math.Max(0, times);
        if (value is string text)
        {
            TemplateBudget.Write((long)Int128.Min((Int128)text.Length * times, TemplateBudget.MaxBytes + 1));
            return new System.Text.StringBuilder().Insert(0, text, (int)(text.Length == 0 ? 0 : times)).ToString();
        }

        var list = (List<object?>)value;
        TemplateBudget.List((long)Int128.Min((Int128)list.Count * times, TemplateBudget.MaxBytes));
        return list.Count == 0 ? new List<object?>() : Enumerable.Repeat(list, (int)times).SelectMany(items => items).ToList();
    }
}
