using System.Globalization;
using System.Text;

namespace Forgetting.Text.ChatTemplates;

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
/// Cuts a template into tokens with the settings of Hugging Face: <c>trim_blocks</c> (the newline behind a block tag goes),
/// <c>lstrip_blocks</c> (so does white space before one that begins its line) and Jinja's default of dropping one newline at the very end.
/// </summary>
internal sealed class TemplateLexer
{
    // Longest first.
    private static readonly string[] s_operators =
    [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[", "]", "{", "}",
    ];

    // The longest templates in use have a hundredth of either.
    private const int Longest = 1 << 20, MaxTokens = 250_000;

    private readonly string _source;
    private readonly List<TemplateToken> _tokens = [];
    private int _at;
    private int _line = 1;

    private TemplateLexer(string source) => _source = source;

    /// <summary>All tokens, the last of kind <see cref="TokenKind.End"/>.</summary>
    /// <exception cref="TemplateException">A tag, string or character that cannot be read.</exception>
    public static List<TemplateToken> Read(string template)
    {
        if (template.Length > Longest)
        {
            throw new TemplateException(
                string.Create(CultureInfo.InvariantCulture, $"a template of {template.Length} characters; expected at most {Longest}"),
                line: 1);
        }

        string source = template.ReplaceLineEndings("\n");
        TemplateLexer lexer = new(source.EndsWith('\n') ? source[..^1] : source);
        lexer.ReadAll();
        return lexer._tokens;
    }

    private void ReadAll()
    {
        bool stripBefore = false, trimNewline = false;
        while (_at < _source.Length)
        {
            int tag = NextTag();
            string text = _source[_at..tag];
            char kind = tag < _source.Length ? _source[tag + 1] : '\0';
            char control = tag + 2 < _source.Length ? _source[tag + 2] : '\0';

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
                _tokens.Add(new(TokenKind.Text, shown, _line));

            Advance(tag);
            if (kind != '\0')
            {
                char end = ReadTag(kind, control is '-' or '+');
                stripBefore = end == '-';
                trimNewline = kind is '%' or '#' && end != '+';
            }
        }

        _tokens.Add(new(TokenKind.End, "", _line));
    }

    private int NextTag()
    {
        for (int i = _at; i + 1 < _source.Length; i++)
        {
            if (_source[i] == '{' && _source[i + 1] is ('%' or '{' or '#'))
                return i;
        }

        return _source.Length;
    }

    /// <summary>The text without the white space between the start of the tag's line and the tag, if nothing else stands there.</summary>
    private string WithoutIndent(string text, int tag)
    {
        int newline = _source.AsSpan(_at, tag - _at).LastIndexOf('\n');

        // Behind another tag on the same line the white space is not an indent.
        return (newline >= 0 || _at == 0) && string.IsNullOrWhiteSpace(text[(newline + 1)..]) ? text[..(newline + 1)] : text;
    }

    /// <summary>Reads one tag; returns the control character before its end, or a blank.</summary>
    private char ReadTag(char kind, bool hasControl)
    {
        int start = _line;
        Advance(_at + 2 + (hasControl ? 1 : 0));
        if (kind == '#')
        {
            int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
            if (end < 0)
                throw new TemplateException("comment without #}", start);

            char control = end > _at ? _source[end - 1] : ' ';
            Advance(end + 2);
            return control;
        }

        _tokens.Add(new(kind == '%' ? TokenKind.BlockStart : TokenKind.PrintStart, "", _line));
        string close = kind == '%' ? "%}" : "}}";
        int depth = 0;
        while (true)
        {
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at]))
            {
                Advance(_at + 1);
            }

            if (_at >= _source.Length)
                throw new TemplateException($"tag without {close}", start);

            if (_tokens.Count > MaxTokens)
            {
                throw new TemplateException(
                    string.Create(CultureInfo.InvariantCulture, $"a template of more than {MaxTokens} names, operators and literals"),
                    start);
            }

            bool controlled = (_source[_at] == '-' || (_source[_at] == '+' && kind == '%')) && At(_at + 1, close);
            if (depth == 0 && (controlled || At(_at, close)))
            {
                char control = controlled ? _source[_at] : ' ';
                _tokens.Add(new(kind == '%' ? TokenKind.BlockEnd : TokenKind.PrintEnd, "", _line));
                Advance(_at + (controlled ? 3 : 2));
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
        int start = _at;
        char first = _source[_at];
        if (char.IsLetter(first) || first == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_'))
            {
                _at++;
            }

            _tokens.Add(new(TokenKind.Name, _source[start.._at], _line));
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

        foreach (string name in s_operators)
        {
            if (At(_at, name))
            {
                _tokens.Add(new(TokenKind.Operator, name, _line));
                _at += name.Length;
                return name;
            }
        }

        throw new TemplateException($"unexpected character '{first}'", _line);
    }

    private void ReadNumber()
    {
        int start = _at;
        Digits();
        bool real = _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]);
        if (real)
        {
            _at++;
            Digits();
        }

        _tokens.Add(new(real ? TokenKind.Float : TokenKind.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal), _line));

        void Digits()
        {
            while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || _source[_at] == '_'))
            {
                _at++;
            }
        }
    }

    private void ReadString(char quote)
    {
        int start = _line;
        StringBuilder text = new();
        for (_at++; _at < _source.Length && _source[_at] != quote; _at++)
        {
            if (_source[_at] == '\n')
                _line++;

            if (_source[_at] == '\\' && _at + 1 < _source.Length)
            {
                _at++;
                Escape(text);
            }
            else
            {
                text.Append(_source[_at]);
            }
        }

        if (_at >= _source.Length)
            throw new TemplateException("string without its closing quote", start);

        _at++;
        _tokens.Add(new(TokenKind.String, text.ToString(), start));
    }

    /// <summary>An escape of a Python string; <c>at</c> is behind the backslash and ends on the escape's last character.</summary>
    private void Escape(StringBuilder text)
    {
        char escape = _source[_at];
        int digits = escape switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0)
        {
            if (_at + digits < _source.Length
                && int.TryParse(
                    _source.AsSpan(_at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
                && Rune.IsValid(value))
            {
                text.Append(new Rune(value).ToString());
                _at += digits;
                return;
            }

            throw new TemplateException($"malformed escape \\{escape}", _line);
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
        _line += escape == '\n' ? 1 : 0;
    }

    private bool At(int place, string text) => string.CompareOrdinal(_source, place, text, 0, text.Length) == 0;

    private void Advance(int to)
    {
        _line += _source.AsSpan(_at, to - _at).Count('\n');
        _at = to;
    }
}
