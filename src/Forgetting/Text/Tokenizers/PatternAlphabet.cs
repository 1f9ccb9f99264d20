using System.Globalization;
using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// What an expression can tell apart: the code points that are in the same ones of its sets are one symbol, and each symbol is one UTF-16
/// unit. Written over these symbols an expression means for .NET, whose characters are UTF-16 units and whose classes are its own, exactly
/// what its sets say, for all of Unicode.
/// </summary>
internal sealed class PatternAlphabet
{
    private const int MaxSets = 1000;

    private readonly List<CodePointSet> _sets;
    private readonly List<string> _symbols = []; // for each symbol which sets have it, a character a set
    private readonly char[] _basic = new char[0x10000];
    private readonly List<(int First, char Symbol)> _ranges = [];

    /// <summary>The alphabet of some sets.</summary>
    /// <exception cref="NotSupportedException">There are too many.</exception>
    public PatternAlphabet(IEnumerable<CodePointSet> sets)
    {
        _sets = [.. sets.DistinctBy(set => string.Join(',', set.Ranges))];
        if (_sets.Count > MaxSets)
        {
            throw new NotSupportedException(
                string.Create(CultureInfo.InvariantCulture, $"more than {MaxSets} different characters and classes"));
        }

        int[] starts = [0, .. _sets.SelectMany(set => set.Ranges)
            .SelectMany(range => new[] { range.First, range.Last + 1 })
            .Distinct()
            .Where(p => p is > 0 and <= 0x10FFFF)
            .Order()];
        int[] at = new int[_sets.Count];
        Dictionary<string, char> known = [];
        for (int i = 0; i < starts.Length; i++)
        {
            int first = starts[i], end = i + 1 < starts.Length ? starts[i + 1] : 0x110000;
            string members = string.Create(_sets.Count, first, (bits, point) =>
            {
                for (int s = 0; s < bits.Length; s++)
                {
                    IReadOnlyList<(int First, int Last)> ranges = _sets[s].Ranges;
                    at[s] += at[s] < ranges.Count && ranges[at[s]].Last < point ? 1 : 0;
                    bits[s] = at[s] < ranges.Count && ranges[at[s]].First <= point ? '1' : '0';
                }
            });
            if (!known.TryGetValue(members, out char symbol))
            {
                known[members] = symbol = (char)_symbols.Count;
                _symbols.Add(members);
            }

            _ranges.Add((first, symbol));
            if (first < _basic.Length)
                _basic.AsSpan(first, Math.Min(end, _basic.Length) - first).Fill(symbol);
        }
    }

    /// <summary>Symbol of a character of the basic plane.</summary>
    public char SymbolOf(char character) => _basic[character];

    /// <summary>Symbol of a character.</summary>
    public char SymbolOf(Rune rune)
    {
        if (rune.IsBmp)
            return _basic[rune.Value];

        int low = 0, high = _ranges.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = _ranges[middle].First <= rune.Value ? (middle, high) : (low, middle - 1);
        }

        return _ranges[low].Symbol;
    }

    /// <summary>A set in .NET's syntax.</summary>
    public string Write(CodePointSet set)
    {
        int place = _sets.FindIndex(set.SetEquals);
        List<int> symbols = [.. Enumerable.Range(0, _symbols.Count).Where(symbol => _symbols[symbol][place] == '1')];
        return symbols.Count switch
        {
            0 => "(?!)",
            1 => Escaped(symbols[0]),
            _ => $"[{string.Concat(symbols.Select(Escaped))}]",
        };
    }

    private static string Escaped(int symbol) => string.Create(CultureInfo.InvariantCulture, $"\\u{symbol:X4}");
}
