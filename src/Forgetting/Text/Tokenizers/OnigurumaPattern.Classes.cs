namespace Forgetting.Text.Tokenizers;

/// <content>Escapes and classes.</content>
internal sealed partial class OnigurumaPattern
{
    private void Escape()
    {
        int place = _at - 1, point = AtEnd ? throw Refused("a backslash", place) : _text[_at++];
        switch (point)
        {
            case 'A':
                Emit(@"\A", atom: false);
                return;
            case 'z':
                Emit(@"\z", atom: false);
                return;
            case 'Z':
                EmitAnchor("(?=", s_newline, @"?\z)");
                return;
            case 'b' or 'B':
                EmitBoundary(point == 'b');
                return;
            case 'R':
                Emit("(?>", atom: true);
                _output.AddRange([CodePointSet.From('\r'), CodePointSet.From('\n'), "|",
                    CodePointSet.From([('\n', '\r'), (0x85, 0x85), (0x2028, 0x2029)]), ")"]);
                return;
            case 'w' or 'W':
                CodePointSet word = UnicodeProperties.Word.Or(s_otherNumbersOfLatin1);
                EmitSet(point == 'w' ? word : word.Not());
                return;
        }

        _at--;
        (int single, CodePointSet? set) = ReadEscape(place, inClass: false);
        if (set is null)
        {
            EmitLiteral(single);
        }
        else
        {
            EmitSet(_options.HasFlag(Options.IgnoreCase) ? WithBothCases(set) : set);
        }
    }

    private void EmitBoundary(bool boundary)
    {
        CodePointSet word = UnicodeProperties.Word.Or(s_otherNumbersOfLatin1);
        Emit("(?:(?<=", atom: false);
        _output.AddRange(
            boundary
                ? [word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))"]
                : [word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))"]);
    }

    /// <summary>An escape that stands for a character or for a set, from behind its backslash.</summary>
    private (int Single, CodePointSet? Set) ReadEscape(int place, bool inClass)
    {
        int point = AtEnd ? throw Refused("a backslash", place) : _text[_at++];
        switch (point)
        {
            case 'd' or 'D':
                return (0, Negated(UnicodeProperties.Digit, point == 'D'));
            case 's' or 'S':
                return (0, Negated(UnicodeProperties.Space, point == 'S'));
            case 'h' or 'H':
                return (0, Negated(UnicodeProperties.HexDigit, point == 'H'));
            case 'w' or 'W':
                return (0, Negated(UnicodeProperties.Word, point == 'W'));
            case 'p' or 'P':
                return (0, ReadProperty(place, point == 'P'));
            case 't':
                return ('\t', null);
            case 'n':
                return ('\n', null);
            case 'r':
                return ('\r', null);
            case 'f':
                return ('\f', null);
            case 'v':
                return ('\v', null);
            case 'a':
                return ('\a', null);
            case 'e':
                return (0x1B, null);
            case 'b' when inClass:
                return ('\b', null);
            case 'x' when Take("{"):
                return (ReadHex(1, 8, place), Take("}") ? null : throw Refused("an escape", place));
            case 'x':
                // Above ASCII it would be a byte of UTF-8.
                return (ReadHex(1, 2, place) is var value && value < 0x80 ? value : throw Refused("a byte", place), null);
            case 'u':
                return (ReadHex(4, 4, place), null);
            case '0' when !(Peek() is >= '0' and <= '7'):
                return (0, null);
            case (>= '0' and <= '9') or (>= 'a' and <= 'z') or (>= 'A' and <= 'Z'):
                throw Refused($"\\{(char)point}", place);
            default:
                return (point, null);
        }
    }

    private static CodePointSet Negated(CodePointSet set, bool negate) => negate ? set.Not() : set;

    private int ReadHex(int least, int most, int place)
    {
        int value = 0, digits = 0;
        for (; digits < most && !AtEnd && _text[_at] < 0x80 && char.IsAsciiHexDigit((char)_text[_at]); digits++)
        {
            value = (value * 16) + Convert.ToInt32(((char)_text[_at++]).ToString(), 16);
        }

        return digits >= least && System.Text.Rune.IsValid(value) ? value : throw Refused("an escape that is no character", place);
    }

    private CodePointSet ReadProperty(int place, bool negate)
    {
        if (!Take("{"))
            throw Refused("a property without braces", place);

        negate ^= Take("^");
        int start = _at;
        SkipTo('}');
        string name = _at <= _text.Length ? Spelt(start, _at - 1) : throw Refused("a property without its closing brace", place);
        return Negated(UnicodeProperties.Find(name) ?? throw Refused($"the property \"{name}\"", place), negate);
    }

    private string Spelt(int from, int to) => string.Concat(_text[from..to].Select(char.ConvertFromUtf32));

    /// <summary>
    /// A class, from behind its opening bracket: unions of characters, ranges, escapes, POSIX brackets and
    /// classes, and intersections of those.
    /// </summary>
    private CodePointSet ReadClass(int depth)
    {
        int place = _at - 1;
        if (depth > DeepestGroups)
            throw Refused("classes nested too deep", place);

        bool negate = Take("^");
        CodePointSet? before = null;
        List<(int First, int Last)> ranges = [];
        if (Peek() == ']')
            throw Refused("a class that begins with its end", place);

        while (true)
        {
            if (AtEnd)
                throw Refused("a class without its closing bracket", place);

            if (Take("]"))
                break;

            if (Take("&&"))
            {
                CodePointSet left = CodePointSet.From(ranges);
                before = before?.And(left) ?? left;
                ranges = [];
                continue;
            }

            (int single, CodePointSet? set) = ReadMember(depth);
            if (set != null)
            {
                ranges.AddRange(set.Ranges);
            }
            else if (Peek() == '-' && _at + 1 < _text.Length && _text[_at + 1] != ']')
            {
                _at++;
                int at = _at;
                (int last, CodePointSet? end) = ReadMember(depth);
                ranges.Add(end is null && last >= single ? (single, last) : throw Refused("a range that is empty or ends in a class", at));
            }
            else
            {
                ranges.Add((single, single));
            }
        }

        CodePointSet all = CodePointSet.From(ranges);
        all = before?.And(all) ?? all;
        all = _options.HasFlag(Options.IgnoreCase) ? WithBothCases(all) : all;
        return Negated(all, negate);
    }

    /// <summary>A character or a set within a class.</summary>
    private (int Single, CodePointSet? Set) ReadMember(int depth)
    {
        int place = _at;
        int point = _text[_at++];
        switch (point)
        {
            case '\\':
                return ReadEscape(place, inClass: true);
            case '[' when Peek() == ':' && ReadBracket() is { } bracket:
                return (0, bracket);
            case '[':
                return (0, ReadClass(depth + 1));
            default:
                return (point, null);
        }
    }

    /// <summary>A POSIX bracket, from behind its opening bracket; null, and nothing read, where it is none.</summary>
    private CodePointSet? ReadBracket()
    {
        int start = _at + 1, end = start;
        bool negate = start < _text.Length && _text[start] == '^';
        start += negate ? 1 : 0;
        for (end = start; end < _text.Length && _text[end] is >= 'a' and <= 'z'; end++)
        {
        }

        if (end + 1 >= _text.Length || _text[end] != ':' || _text[end + 1] != ']')
            return null;

        string name = Spelt(start, end);
        CodePointSet set = UnicodeProperties.Bracket(name) ?? throw Refused($"the bracket \"[:{name}:]\"", _at - 1);
        _at = end + 2;
        return Negated(set, negate);
    }
}
