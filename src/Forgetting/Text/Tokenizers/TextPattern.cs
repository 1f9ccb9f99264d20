using System.Buffers;
using System.Text;
using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// What <c>tokenizer.json</c> calls a pattern: a literal or one of Oniguruma's regular expressions over characters. .NET's expressions run
/// on UTF-16 units and have classes of their own; so a text is matched through a copy in the expression's own
/// <see cref="PatternAlphabet"/>, a unit a character.
/// </summary>
internal sealed class TextPattern
{
    // A file can hold an expression that backtracks for ever; none in use takes more than microseconds a match.
    private static readonly TimeSpan s_matchLimit = TimeSpan.FromSeconds(10);

    private readonly string? _literal;
    private readonly Regex? _expression;
    private readonly PatternAlphabet? _alphabet;
    private readonly string _source;

    private TextPattern(string source, string? literal, Regex? expression = null, PatternAlphabet? alphabet = null)
    {
        _literal = literal;
        _expression = expression;
        _alphabet = alphabet;
        _source = source;
    }

    /// <summary>A pattern that matches one text.</summary>
    public static TextPattern Literal(string text, string source) =>
        text.Length > 0 ? new(source, text) : throw new UserException($"{source}: an empty pattern matches everywhere");

    /// <summary>A pattern from an expression in Oniguruma's syntax.</summary>
    /// <exception cref="UserException">The expression is wrong or has a construct that is not supported.</exception>
    public static TextPattern Expression(string expression, string source)
    {
        try
        {
            (string translated, PatternAlphabet alphabet) = OnigurumaPattern.Translate(expression);
            return new(source, null, new Regex(translated, RegexOptions.CultureInvariant | RegexOptions.Compiled, s_matchLimit), alphabet);
        }
        catch (Exception e) when (e is NotSupportedException or ArgumentException or InsufficientExecutionStackException)
        {
            string reason = e is NotSupportedException ? e.Message : "a construct that .NET does not have";
            throw new UserException(
                $"{source}: expression not supported: {reason} of \"{expression}\"; "
                    + "expected one of Oniguruma's without references, callouts and calls",
                e);
        }
    }

    /// <summary>Reads <c>{"String": …}</c>, <c>{"Regex": …}</c> or a bare literal.</summary>
    public static TextPattern Read(JsonView view)
    {
        if (view.Element.ValueKind == System.Text.Json.JsonValueKind.String)
            return Literal(view.AsString(), view.Source);

        return view.Find("Regex") is { } regex
            ? Expression(regex.AsString(), view.Source)
            : Literal(view["String"].AsString(), view.Source);
    }

    /// <summary>Appends the non-overlapping matches in a stretch of text, as (start, length) in the text. A match may be empty.</summary>
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

        char[] symbols = ArrayPool<char>.Shared.Rent(length);
        int[]? offsets = null;
        int count = 0;
        if (span.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
        {
            foreach (char unit in span)
            {
                symbols[count++] = _alphabet!.SymbolOf(unit);
            }
        }
        else
        {
            offsets = ArrayPool<int>.Shared.Rent(length + 1);
            int unit = 0;
            foreach (Rune rune in span.EnumerateRunes())
            {
                offsets[count] = unit;
                symbols[count++] = _alphabet!.SymbolOf(rune);
                unit += rune.Utf16SequenceLength;
            }

            offsets[count] = unit;
        }

        try
        {
            int end = -1;
            foreach (ValueMatch match in _expression!.EnumerateMatches(symbols.AsSpan(0, count)))
            {
                // No empty match right behind a match.
                if (match.Length > 0 || match.Index != end)
                {
                    int from = offsets?[match.Index] ?? match.Index,
                        to = offsets?[match.Index + match.Length] ?? match.Index + match.Length;
                    matches.Add((start + from, to - from));
                }

                end = match.Index + match.Length;
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new UserException(
                $"{_source}: an expression took more than {s_matchLimit.TotalSeconds:0} s for one match: {_expression}", e);
        }
        finally
        {
            ArrayPool<char>.Shared.Return(symbols);
            if (offsets != null)
                ArrayPool<int>.Shared.Return(offsets);
        }
    }

    /// <summary>The text with every match replaced by a literal.</summary>
    public string Replace(string text, string content)
    {
        if (_literal != null)
            return text.Replace(_literal, content, StringComparison.Ordinal);

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
}
