namespace Forgetting.Text.ChatTemplates;

/// <summary>Where a statement writes, and which stretches of it the template calls the assistant's own (<c>{% generation %}</c>).</summary>
internal sealed class TemplateOutput
{
    public TemplateText Text { get; } = new();

    public List<(int Start, int End)> Generated { get; } = [];
}

/// <summary>
/// Variables. A loop's body and a macro have their own scope, so that what they set is gone behind them; the branches of an if have not.
/// </summary>
internal sealed class TemplateScope(TemplateScope? parent)
{
    private const int DeepestCalls = 50;

    private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

    public int CallDepth { get; init; } = parent?.CallDepth ?? 0;

    /// <summary>A name's value, from the innermost scope that has it.</summary>
    public object? this[string name]
    {
        get
        {
            for (TemplateScope? scope = this; scope != null; scope = scope.Outer)
            {
                if (scope._values.TryGetValue(name, out object? value))
                    return value;

                TemplateBudget.Spend(1);
            }

            return new Undefined(name);
        }
        set => _values[name] = value;
    }

    private TemplateScope? Outer { get; } = parent;

    /// <summary>The scope of a call made from here; its names are looked up where the macro was defined.</summary>
    public static TemplateScope ForCall(TemplateScope definition, TemplateScope caller) => caller.CallDepth < DeepestCalls
        ? new TemplateScope(definition) { CallDepth = caller.CallDepth + 1 }
        : throw new TemplateException($"macros call each other more than {DeepestCalls} deep");
}
