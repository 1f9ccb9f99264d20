using System.Globalization;
using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Rewrites an expression of Oniguruma, which is what <c>tokenizer.json</c> has, in .NET's syntax over a <see cref="PatternAlphabet"/>.
/// Both engines go through alternatives and repetitions in the same order, so only syntax and sets of characters differ. What has no
/// counterpart, or whose meaning depends on Oniguruma's internals, is refused.
/// </summary>
internal sealed partial class OnigurumaPattern
{
    private const int Longest = 100_000, DeepestGroups = 100, MaxRepeats = 1000;

    // \w by itself, but not in a class, has these of Latin-1 besides: Oniguruma looks them up in another table.
    private static readonly CodePointSet s_otherNumbersOfLatin1 = CodePointSet.From(0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE);
    private static readonly CodePointSet s_newline = CodePointSet.From('\n');

    // Two letters that some single character is when case does not count, such as ß for ss.
    private static readonly string[] s_ligatures = ["ff", "fi", "fl", "ss", "st"];

    private readonly int[] _text;
    private readonly List<object> _output = []; // pieces of .NET's syntax and CodePointSets
    private readonly Stack<Group> _groups = new();
    private int _at;
    private Options _options;
    private int _atom = -1; // where in the output begins what a quantifier would repeat
    private int _letter; // the letter before, where case does not count

    private OnigurumaPattern(string text) => _text = [.. text.EnumerateRunes().Select(r => r.Value)];

    /// <summary>The expression in .NET's syntax, and the alphabet it is written in.</summary>
    /// <exception cref="NotSupportedException">The message names the construct and its place.</exception>
    public static (string Expression, PatternAlphabet Alphabet) Translate(string text)
    {
        if (text.Length > Longest)
        {
            throw new NotSupportedException(
                string.Create(CultureInfo.InvariantCulture, $"an expression of {text.Length} characters; expected at most {Longest}"));
        }

        OnigurumaPattern pattern = new(text);
        pattern.Parse();
        PatternAlphabet alphabet = new(pattern._output.OfType<CodePointSet>());
        StringBuilder expression = new();
        foreach (object part in pattern._output)
        {
            expression.Append(part is CodePointSet set ? alphabet.Write(set) : (string)part);
        }

        return (expression.ToString(), alphabet);
    }

    private bool AtEnd => _at >= _text.Length;

    private void Parse()
    {
        while (!AtEnd)
        {
            int start = _at, point = _text[_at++];
            switch (point)
            {
                case '|':
                    Emit("|", atom: false);
                    break;
                case '(':
                    OpenGroup();
                    break;
                case ')':
                    CloseGroup();
                    break;
                case '[':
                    EmitSet(ReadClass(1));
                    break;
                case '.':
                    EmitSet(_options.HasFlag(Options.DotAll) ? CodePointSet.All : s_newline.Not());
                    break;
                case '^':
                    EmitAnchor(@"(?:\A|(?<=", s_newline, @")(?!\z))");
                    break;
                case '$':
                    EmitAnchor("(?=", s_newline, @"|\z)");
                    break;
                case '\\':
                    Escape();
                    break;
                case '*' or '+' or '?':
                    Quantify(((char)point).ToString(), start);
                    break;
                case '{' when ReadInterval() is { } interval:
                    Quantify(interval, start);
                    break;
                case ' ' or '\t' or '\n' or '\r' or '\f' or '\v' when _options.HasFlag(Options.Extended):
                    break;
                case '#' when _options.HasFlag(Options.Extended):
                    SkipTo('\n');
                    break;
                default:
                    EmitLiteral(point);
                    break;
            }
        }

        if (_groups.Count > 0)
            throw Refused("a group without its closing parenthesis", _groups.Peek().Place);
    }

    private void Emit(string text, bool atom)
    {
        _atom = atom ? _output.Count : -1;
        _letter = 0;
        _output.Add(text);
    }

    private void EmitSet(CodePointSet set)
    {
        _atom = _output.Count;
        _letter = 0;
        _output.Add(set);
    }

    private void EmitAnchor(string before, CodePointSet set, string behind)
    {
        Emit(before, atom: false);
        _output.Add(set);
        _output.Add(behind);
    }

    private void EmitLiteral(int point)
    {
        if (!_options.HasFlag(Options.IgnoreCase))
        {
            EmitSet(CodePointSet.From(point));
            return;
        }

        int before = _letter;
        EmitSet(WithBothCases(CodePointSet.From(point)));
        _letter = point is (>= 'a' and <= 'z') or (>= 'A' and <= 'Z') ? point | 0x20 : 0;
        if (_letter != 0 && before != 0 && s_ligatures.Contains($"{(char)before}{(char)_letter}"))
            throw Refused("letters without case that one character can stand for", _at - 2);
    }

    /// <summary>The set with the other case of its letters.</summary>
    private CodePointSet WithBothCases(CodePointSet set)
    {
        List<(int First, int Last)> added = [];
        foreach ((int first, int last) in set.Ranges)
        {
            for (int point = first; point <= last; point++)
            {
                if (point is (>= 'a' and <= 'z') or (>= 'A' and <= 'Z'))
                {
                    added.Add((point ^ 0x20, point ^ 0x20));

                    // The long s and the sign of the Kelvin are letters of ASCII when case does not count.
                    int other = (point | 0x20) switch { 's' => 0x17F, 'k' => 0x212A, _ => point };
                    added.Add((other, other));
                }
                else if (point > 0x7F && Rune.IsValid(point) && OtherCase(point, set) is int missing && !set.Contains(missing))
                {
                    throw Refused("characters outside ASCII without case", _at - 1);
                }
            }
        }

        return set.Or(CodePointSet.From(added));
    }

    private static int? OtherCase(int point, CodePointSet set)
    {
        Rune rune = new(point);
        int upper = Rune.ToUpperInvariant(rune).Value, lower = Rune.ToLowerInvariant(rune).Value;
        return !set.Contains(upper) ? upper : !set.Contains(lower) ? lower : null;
    }

    private void OpenGroup()
    {
        int place = _at - 1;
        if (_groups.Count >= DeepestGroups)
            throw Refused(string.Create(CultureInfo.InvariantCulture, $"groups nested more than {DeepestGroups} deep"), place);

        Group group = new(place, _output.Count, _options, 1, Repeatable: true);
        if (Peek() == '*')
            throw Refused("a callout", place);

        if (!Take("?"))
        {
            Open(group, "(?:");
        }
        else if (Take("#"))
        {
            SkipTo(')');
        }
        else if (Take(":"))
        {
            Open(group, "(?:");
        }
        else if (Take(">"))
        {
            Open(group, "(?>");
        }
        else if (Take("="))
        {
            Open(group with { Repeatable = false }, "(?=");
        }
        else if (Take("!"))
        {
            Open(group with { Repeatable = false }, "(?!");
        }
        else if (Take("<="))
        {
            Open(group with { Repeatable = false }, "(?<=");
        }
        else if (Take("<!"))
        {
            Open(group with { Repeatable = false }, "(?<!");
        }
        else if (Take("<") || Take("'"))
        {
            // Names serve references only, which are refused.
            SkipTo(_text[_at - 1] == '<' ? '>' : '\'');
            Open(group, "(?:");
        }
        else
        {
            OpenOptions(group);
        }
    }

    private void OpenOptions(Group group)
    {
        Options options = _options;
        bool on = true;
        while (!AtEnd && _text[_at] is not (':' or ')'))
        {
            int point = _text[_at++];
            Options option = point switch
            {
                'i' => Options.IgnoreCase,
                'm' => Options.DotAll,
                'x' => Options.Extended,
                '-' when on => Options.None,
                _ => throw Refused("this kind of group", group.Place),
            };
            on &= point != '-';
            options = on ? options | option : options & ~option;
        }

        if (Take(":"))
        {
            Open(group, "(?:");
        }
        else if (Take(")"))
        {
            // Options by themselves hold up to the end of the group around, alternatives included.
            if (_groups.Count > 0)
            {
                _groups.Push(_groups.Pop() is var around ? around with { Closings = around.Closings + 1 } : default!);
                Emit("(?:", atom: false);
            }
            else if (group.Place > 0)
            {
                throw Refused("options behind the beginning and outside a group", group.Place);
            }
        }

        _options = options;
    }

    private void Open(Group group, string text)
    {
        _groups.Push(group);
        Emit(text, atom: false);
    }

    private void CloseGroup()
    {
        if (!_groups.TryPop(out Group? group))
            throw Refused("a closing parenthesis without its group", _at - 1);

        Emit(new string(')', group.Closings), atom: false);
        _options = group.Options;
        _atom = group.Repeatable ? group.Output : -1;
    }

    /// <summary>Repeats the last atom: at most once greedy, lazy or possessive, and then as a whole by any further quantifier.</summary>
    private void Quantify(string quantifier, int place)
    {
        int atom = _atom >= 0 ? _atom : throw Refused("nothing to repeat", place);
        bool interval = quantifier[0] == '{';
        _output.Add(quantifier);
        if (Peek() == '?' && !(interval && !quantifier.Contains(',', StringComparison.Ordinal)))
        {
            _at++;
            _output.Add("?");
        }
        else if (Peek() == '+' && !interval)
        {
            _at++;
            _output.Insert(atom, "(?>");
            _output.Add(")");
            _letter = 0;
            _atom = atom;
            return;
        }

        // .NET refuses a quantifier behind a quantifier.
        _output.Insert(atom, "(?:");
        _output.Add(")");
        _atom = atom;
        _letter = 0;
    }

    /// <summary>What follows an opening brace, as a quantifier; null where the brace stands for itself.</summary>
    private string? ReadInterval()
    {
        int at = _at;
        int? least = Number(), most = least;
        if (at < _text.Length && _text[at] == ',')
        {
            at++;
            most = Number();
            least ??= most is null ? null : 0;
        }
        else if (least is null)
        {
            return null;
        }

        if (least is not int low || at >= _text.Length || _text[at] != '}')
            return null;

        bool open = most is null;
        if (most < low || Math.Max(low, most ?? 0) > MaxRepeats)
        {
            throw Refused(
                string.Create(CultureInfo.InvariantCulture, $"more than {MaxRepeats} repeats, or more at least than at most"), _at - 1);
        }

        _at = at + 1;
        return string.Create(CultureInfo.InvariantCulture, $"{{{low}{(open ? "," : most == low ? "" : $",{most}")}}}");

        int? Number()
        {
            int? number = null;
            for (; at < _text.Length && _text[at] is >= '0' and <= '9'; at++)
            {
                number = Math.Min(((number ?? 0) * 10) + _text[at] - '0', 1_000_000);
            }

            return number;
        }
    }

    private int Peek() => AtEnd ? -1 : _text[_at];

    private bool Take(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (_at + i >= _text.Length || _text[_at + i] != text[i])
                return false;
        }

        _at += text.Length;
        return true;
    }

    private void SkipTo(int end)
    {
        while (!AtEnd && _text[_at] != end)
        {
            _at++;
        }

        _at++;
    }

    private static NotSupportedException Refused(string what, int place) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{what} at character {place + 1}"));

    [Flags]
    private enum Options
    {
        None = 0,
        IgnoreCase = 1,
        DotAll = 2,
        Extended = 4,
    }

    /// <summary>
    /// A group that is open: where it begins in the text and the output, the options around it, and how many parentheses close it.
    /// </summary>
    private sealed record Group(int Place, int Output, Options Options, int Closings, bool Repeatable);
}
