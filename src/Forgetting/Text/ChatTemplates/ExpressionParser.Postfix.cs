namespace Forgetting.Text.ChatTemplates;

/// <content>What follows a value: attributes, items, slices, calls, filters and tests.</content>
internal partial class ExpressionParser
{
    private Expression ParsePostfix(Expression value, bool filters)
    {
        while (true)
        {
            Expression target = value;
            if (TakeOperator("."))
            {
                // messages.0 is messages[0].
                if (Current.Kind == TokenKind.Integer)
                {
                    Expression index = ParsePrimary();
                    value = Metered(scope => TemplateValues.Item(target(scope), index(scope)));
                    continue;
                }

                string name = Take(TokenKind.Name, "the name of an attribute").Text;
                value = Metered(scope => TemplateMethods.Attribute(target(scope), name));
            }
            else if (TakeOperator("["))
            {
                value = Metered(ParseItemOrSlice(target));
            }
            else if (IsOperator("("))
            {
                int line = Current.Line;
                Func<TemplateScope, TemplateArguments> arguments = ParseArguments();
                value = Metered(scope => target(scope) switch
                {
                    TemplateFunction function => function(arguments(scope)),
                    Undefined undefined => throw new TemplateException($"'{undefined.Name}' is undefined", line),
                    var other => throw new TemplateException($"{TemplateValues.TypeName(other)} cannot be called", line),
                });
            }
            else if (filters && TakeOperator("|"))
            {
                Func<TemplateScope, object?, object?> filter = ParseFilter();
                value = Metered(scope => filter(scope, target(scope)));
            }
            else if (filters && TakeName("is"))
            {
                value = Metered(ParseTest(target));
            }
            else
            {
                return value;
            }
        }
    }

    /// <summary>Compiles a filter, what follows the bar.</summary>
    protected Func<TemplateScope, object?, object?> ParseFilter()
    {
        string name = Take(TokenKind.Name, "the name of a filter").Text;
        Func<TemplateScope, TemplateArguments> arguments = IsOperator("(") ? ParseArguments() : _ => TemplateArguments.None;
        return (scope, value) => TemplateFilters.Apply(name, value, arguments(scope));
    }

    private Expression ParseItemOrSlice(Expression target)
    {
        Expression?[] bounds = new Expression?[3];
        int part = 0;
        while (!TakeOperator("]"))
        {
            if (TakeOperator(":"))
            {
                if (++part == bounds.Length)
                    throw Unexpected("']'");
            }
            else if (bounds[part] is null)
            {
                bounds[part] = ParseExpression();
            }
            else
            {
                throw Unexpected("']'");
            }
        }

        if (part == 0)
        {
            Expression key = bounds[0] ?? throw Unexpected("an index");
            return scope => TemplateValues.Item(target(scope), key(scope));
        }

        return scope => TemplateValues.Slice(target(scope), bounds[0]?.Invoke(scope), bounds[1]?.Invoke(scope), bounds[2]?.Invoke(scope));
    }

    private Expression ParseTest(Expression target)
    {
        bool negated = TakeName("not");
        string name = Take(TokenKind.Name, "the name of a test").Text;
        Func<TemplateScope, TemplateArguments> arguments = _ => TemplateArguments.None;
        if (IsOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (Current.Kind is TokenKind.String or TokenKind.Integer or TokenKind.Float || IsOperator("[")
            || (Current.Kind == TokenKind.Name && !s_keywords.Contains(Current.Text)))
        {
            Expression argument = ParsePrimary();
            arguments = scope => new TemplateArguments([argument(scope)], TemplateArguments.None.Named);
        }

        return scope => TemplateFilters.Test(name, target(scope), arguments(scope)) != negated;
    }

    private Func<TemplateScope, TemplateArguments> ParseArguments()
    {
        Require("(");
        List<Expression> positional = [];
        List<(string Name, Expression Value)> named = [];
        while (!TakeOperator(")"))
        {
            if (Current.Kind == TokenKind.Name && tokens[_at + 1] is { Kind: TokenKind.Operator, Text: "=" })
            {
                string name = Take().Text;
                Require("=");
                if (named.Exists(n => n.Name == name))
                    throw Error($"the argument '{name}' is given twice");

                named.Add((name, ParseExpression()));
            }
            else
            {
                positional.Add(ParseExpression());
            }

            if (!TakeOperator(","))
            {
                Require(")");
                break;
            }
        }

        return scope => new TemplateArguments(
            ListOf(positional, scope), named.ToDictionary(n => n.Name, n => n.Value(scope), StringComparer.Ordinal));
    }
}
