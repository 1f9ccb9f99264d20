using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Forgetting.HuggingFace.Tokenizers;

/// <summary>
/// What <c>tokenizer.json</c> calls a pattern: a literal or a regular expression over characters. .NET expressions run on UTF-16 units, in
/// which no letter outside the basic plane is a letter; so a text with such characters is matched through a copy in which each stands
/// as one unit of the same general category.
/// </summary>
internal sealed class TextPattern
{
    // A file can hold an expression that backtracks for ever; none in use takes more than microseconds a match.
    private static readonly TimeSpan MatchLimit = TimeSpan.FromSeconds(10);
    private static readonly char[] StandIns = MakeStandIns();

    private readonly string? _literal;
    private readonly Regex? _expression;
    private readonly string _source;

    private TextPattern(string? literal, Regex? expression, string source)
    {
        _literal = literal;
        _expression = expression;
        _source = source;
    }

    /// <summary>A pattern that matches one text.</summary>
    public static TextPattern Literal(string text, string source) =>
        text.Length > 0 ? new(text, null, source) : throw new UserException($"{source}: an empty pattern matches everywhere");

    /// <summary>A pattern from an expression in the syntax that the basic constructs of all engines share.</summary>
    /// <exception cref="UserException">The expression has a construct that .NET lacks.</exception>
    public static TextPattern Expression(string expression, string source)
    {
        if (expression.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') >= 0)
        {
            throw new UserException($"{source}: expression with a character outside the basic plane: {expression}");
        }

        try
        {
            return new(null, new Regex(expression, RegexOptions.CultureInvariant | RegexOptions.Compiled, MatchLimit), source);
        }
        catch (ArgumentException e)
        {
            throw new UserException($"{source}: expression not supported: {e.Message}".ReplaceLineEndings(" "), e);
        }
    }

    /// <summary>Reads <c>{"String": …}</c>, <c>{"Regex": …}</c> or a bare literal.</summary>
    public static TextPattern Read(JsonView view)
    {
        if (view.Element.ValueKind == System.Text.Json.JsonValueKind.String)
        {
            return Literal(view.AsString(), view.Source);
        }

        return view.Find("Regex") is { } regex
            ? Expression(regex.AsString(), view.Source)
            : Literal(view["String"].AsString(), view.Source);
    }

    /// <summary>Appends the non-overlapping matches in a stretch of text, as (start, length) in the text. Empty matches are none.</summary>
    public void Matches(string text, int start, int length, List<(int Start, int Length)> matches)
    {
        ReadOnlySpan<char> span = text.AsSpan(start, length);
        if (_literal != null)
        {
            for (int at = 0, found; (found = span[at..].IndexOf(_literal, StringComparison.Ordinal)) >= 0; at += found + _literal.Length)
            {
                matches.Add((start + at + found, _literal.Length));
            }

            return;
        }

        try
        {
            if (span.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
            {
                foreach (ValueMatch match in _expression!.EnumerateMatches(span))
                {
                    Add(start + match.Index, match.Length);
                }
            }
            else
            {
                MatchByRune(span);
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new UserException($"{_source}: an expression took more than {MatchLimit.TotalSeconds:0} s for one match: {_expression}", e);
        }

        void Add(int at, int size)
        {
            if (size > 0)
            {
                matches.Add((at, size));
            }
        }

        void MatchByRune(ReadOnlySpan<char> units)
        {
            char[] runes = ArrayPool<char>.Shared.Rent(units.Length);
            int[] offsets = ArrayPool<int>.Shared.Rent(units.Length + 1);
            int count = 0, unit = 0;
            foreach (Rune rune in units.EnumerateRunes())
            {
                offsets[count] = unit;
                runes[count++] = rune.IsBmp ? (char)rune.Value : StandIns[(int)Rune.GetUnicodeCategory(rune)];
                unit += rune.Utf16SequenceLength;
            }

            offsets[count] = unit;
            foreach (ValueMatch match in _expression!.EnumerateMatches(runes.AsSpan(0, count)))
            {
                int from = offsets[match.Index];
                Add(start + from, offsets[match.Index + match.Length] - from);
            }

            ArrayPool<char>.Shared.Return(runes);
            ArrayPool<int>.Shared.Return(offsets);
        }
    }

    /// <summary>The text with every match replaced by a literal.</summary>
    public string Replace(string text, string content)
    {
        if (_literal != null)
        {
            return text.Replace(_literal, content, StringComparison.Ordinal);
        }

        List<(int Start, int Length)> matches = [];
        Matches(text, 0, text.Length, matches);
        StringBuilder result = new(text.Length);
        int end = 0;
        foreach ((int at, int size) in matches)
        {
            result.Append(text, end, at - end).Append(content);
            end = at + size;
        }

        return result.Append(text, end, text.Length - end).ToString();
    }

    /// <summary>For each general category the last character of the basic plane that has it: half-width and rare forms, which patterns do not name one by one.</summary>
    private static char[] MakeStandIns()
    {
        char[] standIns = new char[30];
        for (int value = 0; value <= char.MaxValue; value++)
        {
            standIns[(int)CharUnicodeInfo.GetUnicodeCategory((char)value)] = (char)value;
        }

        return standIns;
    }
}
