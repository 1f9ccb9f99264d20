using System.Globalization;

namespace Forgetting.Text.ChatTemplates;

/// <summary>
/// Filters that compare the items of a list. As in Jinja the case of letters does not count unless asked for, and
/// an attribute may stand for the item.
/// </summary>
internal static class TemplateOrder
{
    /// <summary>Sorted, items that compare equal in their order.</summary>
    /// <param name="items">The items.</param>
    /// <param name="attribute">What of an item is compared; null for itself.</param>
    /// <param name="arguments">The filter's.</param>
    /// <param name="caseSensitive">Position of the argument <c>case_sensitive</c>.</param>
    /// <param name="descending">Position of the argument <c>reverse</c>.</param>
    public static List<object?> Sort(List<object?> items, object? attribute, TemplateArguments arguments, int caseSensitive, int descending)
    {
        Func<object?, object?> key = Key(attribute, arguments, caseSensitive);
        Comparer<object?> order = Comparer<object?>.Create(TemplateValues.Compare);
        try
        {
            IEnumerable<object?> sorted = TemplateValues.IsTrue(arguments.Get(descending, "reverse", false))
                ? items.OrderByDescending(key, order)
                : items.OrderBy(key, order);
            return [.. sorted];
        }
        catch (InvalidOperationException e) when (e.InnerException is TemplateException inner)
        {
            // .NET wraps what a comparison throws.
            throw new TemplateException(inner.Message, inner.Line);
        }
    }

    /// <summary>Of equal items the first.</summary>
    public static List<object?> Unique(List<object?> items, TemplateArguments arguments)
    {
        Func<object?, object?> key = Key(arguments.Get(1, "attribute", null), arguments, 0);
        List<object?> unique = [], keys = [];
        foreach (object? item in items)
        {
            object? own = key(item);
            if (!keys.Exists(k => TemplateValues.AreEqual(k, own)))
            {
                unique.Add(item);
                keys.Add(own);
            }
        }

        return unique;
    }

    /// <summary>The first of the smallest or largest items, or <see cref="Undefined"/> where there is none.</summary>
    public static object? Extreme(List<object?> items, TemplateArguments arguments, string name)
    {
        if (items.Count == 0)
            return new Undefined(name);

        Func<object?, object?> key = Key(arguments.Get(1, "attribute", null), arguments, 0);
        object? best = items[0], bestKey = key(best);
        foreach (object? item in items.Skip(1))
        {
            object? own = key(item);
            int order = TemplateValues.Compare(own, bestKey);
            if (name == "min" ? order < 0 : order > 0)
                (best, bestKey) = (item, own);
        }

        return best;
    }

    /// <summary>An attribute of an item; dots lead into attributes of attributes, numbers to items of lists.</summary>
    public static object? AttributeOf(object? item, object? attribute)
    {
        if (attribute is not string path)
            return TemplateValues.Item(item, attribute);

        foreach (string part in path.Split('.'))
        {
            item = TemplateValues.Item(
                item, long.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index : part);
        }

        return item;
    }

    private static Func<object?, object?> Key(object? attribute, TemplateArguments arguments, int caseSensitive)
    {
        bool exact = TemplateValues.IsTrue(arguments.Get(caseSensitive, "case_sensitive", false));
        return item =>
        {
            object? key = attribute is null ? item : AttributeOf(item, attribute);
            return key is string text && !exact ? TemplateMethods.Lower(text) : key;
        };
    }
}
