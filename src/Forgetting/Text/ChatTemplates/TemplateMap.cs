namespace Forgetting.Text.ChatTemplates;

/// <summary>A dictionary in insertion order; keys are strings and numbers, equal as in Python: 1, 1.0 and true are one key.</summary>
internal sealed class TemplateMap : OrderedDictionary<object, object?>
{
    public TemplateMap()
        : base(new Equality())
    {
    }

    /// <summary>A value as a key.</summary>
    /// <exception cref="TemplateException">It cannot be one.</exception>
    public static object Key(object? value) =>
        IsKey(value)
        ? value!
        : throw new TemplateException($"{TemplateValues.Named(value)} is no key of a mapping; expected a string or a number");

    /// <summary>Whether a value can be a key.</summary>
    public static bool IsKey(object? value) => value is string or long or double or bool;

    private sealed class Equality : IEqualityComparer<object>
    {
        public new bool Equals(object? a, object? b) => TemplateValues.AreEqual(a, b);

        public int GetHashCode(object key) =>
            key is string text ? string.GetHashCode(text, StringComparison.Ordinal) : TemplateValues.Number(key).GetHashCode();
    }
}
