using System.Globalization;
using System.Text;

namespace Forgetting.HuggingFace.ChatTemplates;

/// <summary>Kinds of template tokens.</summary>
internal enum TokenKind
{
    /// <summary>Text between tags.</summary>
    Text,

    /// <summary><c>{%</c></summary>
    BlockStart,

    /// <summary><c>%}</c></summary>
    BlockEnd,

    /// <summary><c>{{</c></summary>
    PrintStart,

    /// <summary><c>}}</c></summary>
    PrintEnd,

    /// <summary>Name or keyword.</summary>
    Name,

    /// <summary>String literal, unescaped.</summary>
    String,

    /// <summary>Integer literal.</summary>
    Integer,

    /// <summary>Floating-point literal.</summary>
    Float,

    /// <summary>Operator or bracket.</summary>
    Operator,

    /// <summary>End of the template.</summary>
    End,
}

/// <summary>A token and the line it begins at.</summary>
internal readonly record struct TemplateToken(TokenKind Kind, string Text, int Line);

/// <summary>
/// Cuts a template into tokens with the settings of Hugging Face: <c>trim_blocks</c> (the newline behind a block tag goes), <c>lstrip_blocks</c> (so does white
/// space before one that begins its line) and Jinja's default of dropping one newline at the very end.
/// </summary>
internal sealed class TemplateLexer
{
    // Longest first.
    private static readonly string[] Operators =
    [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[", "]", "{", "}",
    ];

    private readonly string source;
    private readonly List<TemplateToken> tokens = [];
    private int at;
    private int line = 1;

    private TemplateLexer(string source) => this.source = source;

    /// <summary>All tokens, the last of kind <see cref="TokenKind.End"/>.</summary>
    /// <exception cref="TemplateException">A tag, string or character that cannot be read.</exception>
    public static List<TemplateToken> Read(string template)
    {
        string source = template.ReplaceLineEndings("\n");
        TemplateLexer lexer = new(source.EndsWith('\n') ? source[..^1] : source);
        lexer.ReadAll();
        return lexer.tokens;
    }

    private void ReadAll()
    {
        bool stripBefore = false, trimNewline = false;
        while (at < source.Length)
        {
            int tag = NextTag();
            string text = source[at..tag];
            char kind = tag < source.Length ? source[tag + 1] : '\0';
            char control = tag + 2 < source.Length ? source[tag + 2] : '\0';

            string shown = text;
            if (kind == '\0' || control != '-')
            {
                shown = kind is '%' or '#' && control != '+' ? WithoutIndent(shown, tag) : shown;
            }
            else
            {
                shown = shown.TrimEnd();
            }

            shown = stripBefore ? shown.TrimStart() : trimNewline && shown.StartsWith('\n') ? shown[1..] : shown;
            if (shown.Length > 0)
            {
                tokens.Add(new(TokenKind.Text, shown, line));
            }

            Advance(tag);
            if (kind != '\0')
            {
                char end = ReadTag(kind, control is '-' or '+');
                stripBefore = end == '-';
                trimNewline = kind is '%' or '#' && end != '+';
            }
        }

        tokens.Add(new(TokenKind.End, "", line));
    }

    private int NextTag()
    {
        for (int i = at; i + 1 < source.Length; i++)
        {
            if (source[i] == '{' && source[i + 1] is ('%' or '{' or '#'))
            {
                return i;
            }
        }

        return source.Length;
    }

    /// <summary>The text without the white space between the start of the tag's line and the tag, if nothing else stands there.</summary>
    private string WithoutIndent(string text, int tag)
    {
        int lineStart = tag == 0 ? 0 : source.LastIndexOf('\n', tag - 1) + 1;
        int from = Math.Max(lineStart, at);

        // Behind another tag on the same line the white space is not an indent.
        return lineStart >= at && string.IsNullOrWhiteSpace(source[from..tag]) ? text[..(from - at)] : text;
    }

    /// <summary>Reads one tag; returns the control character before its end, or a blank.</summary>
    private char ReadTag(char kind, bool hasControl)
    {
        int start = line;
        Advance(at + 2 + (hasControl ? 1 : 0));
        if (kind == '#')
        {
            int end = source.IndexOf("#}", at, StringComparison.Ordinal);
            if (end < 0)
            {
                throw new TemplateException("comment without #}", start);
            }

            char control = end > at ? source[end - 1] : ' ';
            Advance(end + 2);
            return control;
        }

        tokens.Add(new(kind == '%' ? TokenKind.BlockStart : TokenKind.PrintStart, "", line));
        string close = kind == '%' ? "%}" : "}}";
        int depth = 0;
        while (true)
        {
            while (at < source.Length && char.IsWhiteSpace(source[at]))
            {
                Advance(at + 1);
            }

            if (at >= source.Length)
            {
                throw new TemplateException($"tag without {close}", start);
            }

            bool controlled = (source[at] == '-' || (source[at] == '+' && kind == '%')) && At(at + 1, close);
            if (depth == 0 && (controlled || At(at, close)))
            {
                char control = controlled ? source[at] : ' ';
                tokens.Add(new(kind == '%' ? TokenKind.BlockEnd : TokenKind.PrintEnd, "", line));
                Advance(at + (controlled ? 3 : 2));
                return control;
            }

            depth += ReadToken() switch
            {
                "(" or "[" or "{" => 1,
                ")" or "]" or "}" => -1,
                _ => 0,
            };
        }
    }

    /// <summary>Reads a token of an expression; returns it if it is an operator, else nothing.</summary>
    private string ReadToken()
    {
        int start = at;
        char first = source[at];
        if (char.IsLetter(first) || first == '_')
        {
            while (at < source.Length && (char.IsLetterOrDigit(source[at]) || source[at] == '_'))
            {
                at++;
            }

            tokens.Add(new(TokenKind.Name, source[start..at], line));
            return "";
        }

        if (char.IsAsciiDigit(first))
        {
            ReadNumber();
            return "";
        }

        if (first is '"' or '\'')
        {
            ReadString(first);
            return "";
        }

        foreach (string name in Operators)
        {
            if (At(at, name))
            {
                tokens.Add(new(TokenKind.Operator, name, line));
                at += name.Length;
                return name;
            }
        }

        throw new TemplateException($"unexpected character '{first}'", line);
    }

    private void ReadNumber()
    {
        int start = at;
        Digits();
        bool real = at + 1 < source.Length && source[at] == '.' && char.IsAsciiDigit(source[at + 1]);
        if (real)
        {
            at++;
            Digits();
        }

        tokens.Add(new(real ? TokenKind.Float : TokenKind.Integer, source[start..at].Replace("_", "", StringComparison.Ordinal), line));

        void Digits()
        {
            while (at < source.Length && (char.IsAsciiDigit(source[at]) || source[at] == '_'))
            {
                at++;
            }
        }
    }

    private void ReadString(char quote)
    {
        int start = line;
        StringBuilder text = new();
        for (at++; at < source.Length && source[at] != quote; at++)
        {
            if (source[at] == '\n')
            {
                line++;
            }

            if (source[at] == '\\' && at + 1 < source.Length)
            {
                at++;
                Escape(text);
            }
            else
            {
                text.Append(source[at]);
            }
        }

        if (at >= source.Length)
        {
            throw new TemplateException("string without its closing quote", start);
        }

        at++;
        tokens.Add(new(TokenKind.String, text.ToString(), start));
    }

    /// <summary>An escape of a Python string; <c>at</c> is behind the backslash and ends on the escape's last character.</summary>
    private void Escape(StringBuilder text)
    {
        char escape = source[at];
        int digits = escape switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0)
        {
            if (at + digits < source.Length
                && int.TryParse(source.AsSpan(at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
                && Rune.IsValid(value))
            {
                text.Append(new Rune(value).ToString());
                at += digits;
                return;
            }

            throw new TemplateException($"malformed escape \\{escape}", line);
        }

        text.Append(escape switch
        {
            'n' => "\n",
            't' => "\t",
            'r' => "\r",
            'b' => "\b",
            'f' => "\f",
            'v' => "\v",
            'a' => "\a",
            '0' => "\0",
            '\n' => "",
            '\\' or '\'' or '"' => escape.ToString(),
            _ => "\\" + escape,
        });
        line += escape == '\n' ? 1 : 0;
    }

    private bool At(int place, string text) => string.CompareOrdinal(source, place, text, 0, text.Length) == 0;

    private void Advance(int to)
    {
        line += source.AsSpan(at, to - at).Count('\n');
        at = to;
    }
}
