using System.Globalization;

namespace Forgetting.Text.ChatTemplates;

/// <summary>What a statement says about the loop around it.</summary>
internal enum Flow
{
    /// <summary>Go on.</summary>
    Next,

    /// <summary>Leave the loop.</summary>
    Break,

    /// <summary>On to the next item.</summary>
    Continue,
}

/// <summary>A compiled statement.</summary>
internal delegate Flow Statement(TemplateScope scope, TemplateOutput output);

/// <summary>Compiles a template's statements: for, if, set, macro, filter, break, continue and Hugging Face's generation.</summary>
internal sealed class TemplateParser : ExpressionParser
{
    private const int Deepest = 100;

    // The scope and the variable "loop" of one turn take about as long as so many expressions.
    private const int LoopSteps = 20;

    private int _depth;

    private TemplateParser(List<TemplateToken> tokens)
        : base(tokens)
    {
    }

    /// <summary>Compiles a whole template.</summary>
    /// <exception cref="TemplateException">A syntax error.</exception>
    public static Statement Parse(string template)
    {
        TemplateParser parser = new(TemplateLexer.Read(template));
        Statement body = parser.ParseBody([], out _);
        return body;
    }

    /// <summary>Statements up to one of the tags given, whose name has then been read, or up to the end.</summary>
    private Statement ParseBody(string[] ends, out string end)
    {
        if (++_depth > Deepest)
            throw Error($"blocks nested more than {Deepest} deep");

        List<Statement> statements = [];
        while (true)
        {
            TemplateToken token = Take();
            if (token.Kind == TokenKind.Text)
            {
                statements.Add((_, output) =>
                {
                    output.Text.Append(token.Text);
                    return Flow.Next;
                });
            }
            else if (token.Kind == TokenKind.PrintStart)
            {
                Expression value = ParseTuple();
                Take(TokenKind.PrintEnd, "}}");
                statements.Add(AtLine(token.Line, (scope, output) =>
                {
                    output.Text.Append(TemplateValues.Text(value(scope)));
                    return Flow.Next;
                }));
            }
            else if (token.Kind == TokenKind.BlockStart)
            {
                string name = Take(TokenKind.Name, "the name of a statement").Text;
                if (ends.Contains(name))
                {
                    end = name;
                    break;
                }

                statements.Add(AtLine(token.Line, ParseStatement(name)));
            }
            else if (ends.Length == 0)
            {
                end = "";
                break;
            }
            else
            {
                throw new TemplateException($"the template ends; expected {string.Join(" or ", ends)}", token.Line);
            }
        }

        _depth--;
        return (scope, output) =>
        {
            TemplateBudget.Enter();
            Flow flow = Flow.Next;
            for (int i = 0; i < statements.Count && flow == Flow.Next; i++)
            {
                flow = statements[i](scope, output);
            }

            TemplateBudget.Leave();
            return flow;
        };
    }

    /// <summary>The statement with its line added to errors that have none.</summary>
    private static Statement AtLine(int line, Statement statement) => (scope, output) =>
    {
        try
        {
            return statement(scope, output);
        }
        catch (TemplateException e) when (e.Line == 0)
        {
            throw new TemplateException(e.Message, line);
        }
    };

    private Statement ParseStatement(string name)
    {
        switch (name)
        {
            case "for":
                return ParseFor();
            case "if":
                return ParseIf();
            case "set":
                return ParseSet();
            case "macro":
                return ParseMacro();
            case "filter":
                return ParseFilterBlock();
            case "generation":
                EndTag();
                Statement body = ParseBody(["endgeneration"], out _);
                EndTag();
                return (scope, output) =>
                {
                    int start = output.Text.Length;
                    Flow flow = body(scope, output);
                    output.Generated.Add((start, output.Text.Length));
                    return flow;
                };
            case "break":
                EndTag();
                return (_, _) => Flow.Break;
            case "continue":
                EndTag();
                return (_, _) => Flow.Continue;
            default:
                throw Error($"statement '{name}' is not supported");
        }
    }

    private void EndTag() => Take(TokenKind.BlockEnd, "%}");

    private Statement ParseIf()
    {
        List<(Expression? Condition, Statement Body)> branches = [];
        string end = "if";
        while (end != "endif")
        {
            Expression? condition = end == "else" ? null : ParseExpression();
            EndTag();
            branches.Add((condition, ParseBody(end == "else" ? ["endif"] : ["elif", "else", "endif"], out end)));
        }

        EndTag();
        return (scope, output) =>
        {
            foreach ((Expression? condition, Statement body) in branches)
            {
                TemplateBudget.Spend(1);
                if (condition is null || TemplateValues.IsTrue(condition(scope)))
                    return body(scope, output);
            }

            return Flow.Next;
        };
    }

    private Statement ParseFor()
    {
        List<string> targets = ParseTargets();
        if (!TakeName("in"))
            throw Unexpected("'in'");

        Expression source = ParseOr();
        Expression? filter = TakeName("if") ? ParseExpression() : null;
        EndTag();
        Statement body = ParseBody(["else", "endfor"], out string end);
        Statement? otherwise = null;
        if (end == "else")
        {
            EndTag();
            otherwise = ParseBody(["endfor"], out _);
        }

        EndTag();
        return (scope, output) =>
        {
            List<object?> items = TemplateValues.Items(source(scope));
            if (filter != null)
            {
                items = items.FindAll(item =>
                {
                    TemplateBudget.Spend(1);
                    TemplateScope inner = new(scope);
                    Assign(targets, item, inner);
                    return TemplateValues.IsTrue(filter(inner));
                });
            }

            for (int i = 0; i < items.Count; i++)
            {
                TemplateBudget.Spend(LoopSteps);
                TemplateScope inner = new(scope);
                inner["loop"] = Loop(items, i);
                Assign(targets, items[i], inner);
                if (body(inner, output) == Flow.Break)
                    break;
            }

            return items.Count == 0 && otherwise != null ? otherwise(scope, output) : Flow.Next;
        };
    }

    private static TemplateMap Loop(List<object?> items, int i) => new()
    {
        ["index"] = i + 1L,
        ["index0"] = (long)i,
        ["revindex"] = (long)items.Count - i,
        ["revindex0"] = items.Count - i - 1L,
        ["first"] = i == 0,
        ["last"] = i == items.Count - 1,
        ["length"] = (long)items.Count,
        ["previtem"] = i > 0 ? items[i - 1] : new Undefined("loop.previtem"),
        ["nextitem"] = i + 1 < items.Count ? items[i + 1] : new Undefined("loop.nextitem"),
        ["cycle"] = (TemplateFunction)(a => a.Positional.Count > 0 ? a.Positional[i % a.Positional.Count] : null),
    };

    private List<string> ParseTargets()
    {
        bool enclosed = TakeOperator("(");
        List<string> targets = [Take(TokenKind.Name, "a name").Text];
        while (TakeOperator(","))
        {
            targets.Add(Take(TokenKind.Name, "a name").Text);
        }

        if (enclosed)
            Require(")");

        return targets;
    }

    private static void Assign(List<string> targets, object? value, TemplateScope scope)
    {
        if (targets.Count == 1)
        {
            scope[targets[0]] = value;
            return;
        }

        List<object?> items = TemplateValues.Items(value);
        if (items.Count != targets.Count)
            throw new TemplateException(string.Create(CultureInfo.InvariantCulture, $"{items.Count} values for {targets.Count} names"));

        for (int i = 0; i < items.Count; i++)
        {
            scope[targets[i]] = items[i];
        }
    }

    private Statement ParseSet()
    {
        List<string> targets = ParseTargets();
        string? attribute = targets.Count == 1 && TakeOperator(".") ? Take(TokenKind.Name, "the name of an attribute").Text : null;
        Func<TemplateScope, object?> value;
        if (TakeOperator("="))
        {
            Expression expression = ParseTuple();
            EndTag();
            value = scope => expression(scope);
        }
        else
        {
            EndTag();
            Statement body = ParseBody(["endset"], out _);
            EndTag();
            value = scope => Captured(body, scope);
        }

        return (scope, _) =>
        {
            object? result = value(scope);
            if (attribute is null)
            {
                Assign(targets, result, scope);
            }
            else if (scope[targets[0]] is TemplateNamespace space)
            {
                space.Values[attribute] = result;
            }
            else
            {
                throw new TemplateException(
                    $"'{targets[0]}' is {TemplateValues.TypeName(scope[targets[0]])}; only a namespace's attributes can be set");
            }

            return Flow.Next;
        };
    }

    private Statement ParseFilterBlock()
    {
        List<Func<TemplateScope, object?, object?>> filters = [ParseFilter()];
        while (TakeOperator("|"))
        {
            filters.Add(ParseFilter());
        }

        EndTag();
        Statement body = ParseBody(["endfilter"], out _);
        EndTag();
        return (scope, output) =>
        {
            object? value = Captured(body, new TemplateScope(scope));
            foreach (Func<TemplateScope, object?, object?> filter in filters)
            {
                value = filter(scope, value);
            }

            output.Text.Append(TemplateValues.Text(value));
            return Flow.Next;
        };
    }

    private Statement ParseMacro()
    {
        string name = Take(TokenKind.Name, "the macro's name").Text;
        List<(string Name, Expression? Default)> parameters = [];
        Require("(");
        while (!TakeOperator(")"))
        {
            string parameter = Take(TokenKind.Name, "a parameter").Text;
            parameters.Add((parameter, TakeOperator("=") ? ParseExpression() : null));
            if (!TakeOperator(","))
            {
                Require(")");
                break;
            }
        }

        EndTag();
        Statement body = ParseBody(["endmacro"], out _);
        EndTag();
        return (scope, _) =>
        {
            // Depth grows through the scope of the call in which a macro calls the next.
            TemplateScope current = scope;
            scope[name] = (TemplateFunction)(arguments =>
            {
                TemplateScope before = current, call = TemplateScope.ForCall(scope, before);
                for (int i = 0; i < parameters.Count; i++)
                {
                    (string parameter, Expression? absent) = parameters[i];
                    object? value = arguments.Get(i, parameter);
                    call[parameter] = value is Undefined && absent != null ? absent(call) : value;
                }

                current = call;
                try
                {
                    return Captured(body, call);
                }
                finally
                {
                    current = before;
                }
            });
            return Flow.Next;
        };
    }

    private static string Captured(Statement body, TemplateScope scope)
    {
        TemplateOutput output = new();
        body(scope, output);
        return output.Text.ToString();
    }
}
