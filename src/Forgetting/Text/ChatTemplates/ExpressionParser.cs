using System.Globalization;
using System.Text;

namespace Forgetting.Text.ChatTemplates;

/// <summary>A compiled expression.</summary>
internal delegate object? Expression(TemplateScope scope);

/// <summary>
/// Compiles Jinja's expressions, by falling precedence: <c>if else</c>, <c>or</c>, <c>and</c>, <c>not</c>, comparisons and <c>in</c>,
/// <c>+ -</c>, <c>~</c>, <c>* / // %</c>, <c>**</c>, signs, then attributes, items, calls, filters and tests.
/// </summary>
internal partial class ExpressionParser(List<TemplateToken> tokens)
{
    // Nesting in a template that was not written to overflow the stack.
    private const int Deepest = 100;

    private static readonly HashSet<string> s_keywords = ["if", "else", "and", "or", "not", "in", "is", "recursive"];

    private int _at;
    private int _depth;

    /// <summary>The token to read next.</summary>
    protected TemplateToken Current => tokens[_at];

    /// <summary>Compiles one expression.</summary>
    protected Expression ParseExpression()
    {
        if (++_depth > Deepest)
            throw Error($"expressions nested more than {Deepest} deep");

        Expression value = ParseOr();
        while (TakeName("if"))
        {
            Expression positive = value, condition = ParseOr(),
                negative = TakeName("else") ? ParseExpression() : _ => new Undefined("else");
            value = Metered(scope => TemplateValues.IsTrue(condition(scope)) ? positive(scope) : negative(scope));
        }

        _depth--;
        return Metered(value);
    }

    /// <summary>The expression, drawing on the budget of the rendering: every expression within another passes here.</summary>
    private static Expression Metered(Expression expression) => scope =>
    {
        TemplateBudget.Enter();
        object? value = expression(scope);
        TemplateBudget.Leave();
        return value;
    };

    /// <summary>Compiles one expression or, with commas, a list of several.</summary>
    protected Expression ParseTuple()
    {
        Expression first = ParseExpression();
        if (!IsOperator(","))
            return first;

        List<Expression> items = [first];
        while (TakeOperator(",") && Current.Kind is not (TokenKind.BlockEnd or TokenKind.PrintEnd) && !IsOperator(")"))
        {
            items.Add(ParseExpression());
        }

        return scope => ListOf(items, scope);
    }

    /// <summary>Compiles an expression without a conditional, as a loop's source is.</summary>
    protected Expression ParseOr()
    {
        Expression first = ParseAnd();
        List<Expression> others = [];
        while (TakeName("or"))
        {
            others.Add(ParseAnd());
        }

        return others.Count == 0 ? first : scope => Decisive(first, others, scope, decides: true);
    }

    /// <summary>Reads the next token.</summary>
    protected TemplateToken Take() => tokens[_at++];

    /// <summary>Reads a token of a kind, or fails.</summary>
    protected TemplateToken Take(TokenKind kind, string what) => Current.Kind == kind ? Take() : throw Unexpected(what);

    /// <summary>Reads a name if it is next.</summary>
    protected bool TakeName(string name) => Advance(Current.Kind == TokenKind.Name && Current.Text == name);

    /// <summary>Reads an operator if it is next.</summary>
    protected bool TakeOperator(string name) => Advance(IsOperator(name));

    /// <summary>Whether an operator is next.</summary>
    protected bool IsOperator(string name) => Current.Kind == TokenKind.Operator && Current.Text == name;

    /// <summary>Reads an operator, or fails.</summary>
    protected void Require(string name)
    {
        if (!TakeOperator(name))
            throw Unexpected($"'{name}'");
    }

    /// <summary>An error at the current token.</summary>
    protected TemplateException Error(string message) => new(message, Current.Line);

    /// <summary>An error that names what stands here and what should.</summary>
    protected TemplateException Unexpected(string expected) => Error(Current.Kind switch
    {
        TokenKind.End => $"the template ends; expected {expected}",
        TokenKind.BlockEnd or TokenKind.PrintEnd => $"the tag ends; expected {expected}",
        _ => $"found '{Current.Text}'; expected {expected}",
    });

    private bool Advance(bool found)
    {
        _at += found ? 1 : 0;
        return found;
    }

    private Expression ParseAnd()
    {
        Expression first = ParseNot();
        List<Expression> others = [];
        while (TakeName("and"))
        {
            others.Add(ParseNot());
        }

        return others.Count == 0 ? first : scope => Decisive(first, others, scope, decides: false);
    }

    // Chains are loops, not calls within calls: nothing but the budget bounds their length.
    private static object? Decisive(Expression first, List<Expression> others, TemplateScope scope, bool decides)
    {
        object? value = first(scope);
        for (int i = 0; i < others.Count && TemplateValues.IsTrue(value) != decides; i++)
        {
            TemplateBudget.Spend(1);
            value = others[i](scope);
        }

        return value;
    }

    private static List<object?> ListOf(List<Expression> items, TemplateScope scope)
    {
        TemplateBudget.List(items.Count + 2);
        return items.ConvertAll(i => i(scope));
    }

    private Expression ParseNot()
    {
        bool negated = false;
        while (TakeName("not"))
        {
            negated = !negated;
        }

        Expression value = ParseComparison();
        return negated ? scope => !TemplateValues.IsTrue(value(scope)) : value;
    }

    private Expression ParseComparison()
    {
        Expression first = ParseSum();
        List<(string Operation, Expression Right)> chain = [];
        while (TakeComparison() is { } operation)
        {
            chain.Add((operation, ParseSum()));
        }

        return chain.Count == 0 ? first : scope =>
        {
            object? left = first(scope);
            foreach ((string operation, Expression expression) in chain)
            {
                TemplateBudget.Spend(1);
                object? right = expression(scope);
                if (!Compare(operation, left, right))
                    return false;

                left = right;
            }

            return true;
        };
    }

    private string? TakeComparison()
    {
        if (Current.Kind == TokenKind.Operator && Current.Text is "==" or "!=" or "<" or ">" or "<=" or ">=")
            return Take().Text;

        if (TakeName("in"))
            return "in";

        if (Current is { Kind: TokenKind.Name, Text: "not" } && tokens[_at + 1] is { Kind: TokenKind.Name, Text: "in" })
        {
            _at += 2;
            return "not in";
        }

        return null;
    }

    private static bool Compare(string operation, object? a, object? b) => operation switch
    {
        "==" => TemplateValues.AreEqual(a, b),
        "!=" => !TemplateValues.AreEqual(a, b),
        "in" => TemplateValues.Contains(b, a),
        "not in" => !TemplateValues.Contains(b, a),
        "<" => TemplateValues.Compare(a, b) < 0,
        "<=" => TemplateValues.Compare(a, b) <= 0,
        ">" => TemplateValues.Compare(a, b) > 0,
        _ => TemplateValues.Compare(a, b) >= 0,
    };

    private Expression ParseSum() => ParseArithmetic(ParseConcatenation, "+", "-");

    private Expression ParseConcatenation()
    {
        Expression first = ParseProduct();
        List<Expression> parts = [first];
        while (TakeOperator("~"))
        {
            parts.Add(ParseProduct());
        }

        return parts.Count == 1 ? first : scope => new TemplateText().Join("", parts.Select(part => part(scope))).ToString();
    }

    private Expression ParseProduct() => ParseArithmetic(ParsePower, "*", "/", "//", "%");

    private Expression ParsePower() => ParseArithmetic(ParseSigned, "**");

    private Expression ParseArithmetic(Func<Expression> operand, params string[] operations)
    {
        Expression first = operand();
        List<(string Operation, Expression Right)> chain = [];
        while (Current.Kind == TokenKind.Operator && operations.Contains(Current.Text))
        {
            chain.Add((Take().Text, operand()));
        }

        return chain.Count == 0 ? first : scope =>
        {
            object? value = first(scope);
            TemplateText? sum = null;
            foreach ((string operation, Expression right) in chain)
            {
                object? other = right(scope);
                if (operation == "+" && other is string added && (sum is not null || value is string))
                {
                    // Texts that are added up grow in one place.
                    sum = (sum ?? new TemplateText().Append((string)value!)).Append(added);
                    continue;
                }

                value = TemplateArithmetic.Apply(operation, sum?.ToString() ?? value, other);
                sum = null;
            }

            return sum?.ToString() ?? value;
        };
    }

    private Expression ParseSigned()
    {
        bool negative = false;
        while (IsOperator("-") || IsOperator("+"))
        {
            negative ^= Take().Text == "-";
        }

        // The sign binds tighter than a filter: -3|abs is 3.
        Expression value = ParsePostfix(ParsePrimary(), filters: false);
        return ParsePostfix(negative ? scope => TemplateArithmetic.Apply("-", 0L, value(scope)) : value, filters: true);
    }

    private Expression ParsePrimary()
    {
        TemplateToken token = Take();
        switch (token.Kind)
        {
            case TokenKind.Name when !s_keywords.Contains(token.Text):
                return token.Text switch
                {
                    "true" or "True" => _ => true,
                    "false" or "False" => _ => false,
                    "none" or "None" => _ => null,
                    _ => scope => scope[token.Text],
                };
            case TokenKind.String:
                StringBuilder literal = new(token.Text);
                while (Current.Kind == TokenKind.String)
                {
                    literal.Append(Take().Text);
                }

                string text = literal.ToString();
                return _ => text;
            case TokenKind.Integer:
                return long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long whole)
                    ? _ => whole
                    : throw Error($"the number \"{token.Text}\" is too large");
            case TokenKind.Float:
                double real = double.Parse(token.Text, CultureInfo.InvariantCulture);
                return _ => real;
            case TokenKind.Operator when token.Text == "(":
                if (TakeOperator(")"))
                    return _ => new List<object?>();

                Expression inner = ParseTuple();
                Require(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                List<Expression> items = ParseItems("]");
                return scope => ListOf(items, scope);
            case TokenKind.Operator when token.Text == "{":
                return ParseMap();
            default:
                _at--;
                throw Unexpected("an expression");
        }
    }

    private List<Expression> ParseItems(string close)
    {
        List<Expression> items = [];
        while (!TakeOperator(close))
        {
            items.Add(ParseExpression());
            if (!TakeOperator(","))
            {
                Require(close);
                break;
            }
        }

        return items;
    }

    private Expression ParseMap()
    {
        List<(Expression Key, Expression Value)> entries = [];
        while (!TakeOperator("}"))
        {
            Expression key = ParseExpression();
            Require(":");
            entries.Add((key, ParseExpression()));
            if (!TakeOperator(","))
            {
                Require("}");
                break;
            }
        }

        return scope =>
        {
            TemplateBudget.Allocate(100 * (entries.Count + 1));
            TemplateMap map = [];
            foreach ((Expression key, Expression value) in entries)
            {
                map[TemplateMap.Key(key(scope))] = value(scope);
            }

            return map;
        };
    }
}
