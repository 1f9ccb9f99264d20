using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace Forgetting.Text.Tokenizers;

/// <summary>A rule: two neighbouring tokens become one. Lower ranks go first; among equal ranks the leftmost pair.</summary>
internal readonly record struct Merge(int Left, int Right, int Rank, int Product);

/// <summary>
/// Two neighbouring tokens, as a key. Its hash mixes both: that of a 64-bit number is its halves xored, which is 0 for all pairs of equal
/// tokens, and equal for many others.
/// </summary>
internal readonly record struct TokenPair(int Left, int Right)
{
    /// <inheritdoc/>
    public override int GetHashCode() => (int)((((ulong)(uint)Left << 32 | (uint)Right) * 0x9E3779B97F4A7C15) >> 32);
}

/// <summary>How pieces become the first symbols.</summary>
internal sealed record BytePairOptions
{
    /// <summary>Symbols are the bytes of the piece in <see cref="ByteLevelAlphabet"/>; otherwise its characters.</summary>
    public bool ByteLevel { get; init; }

    /// <summary>A character outside the vocabulary becomes tokens <c>&lt;0xNN&gt;</c> of its bytes.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>A piece that is a token as a whole is not built up by merges.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Neighbouring unknown characters are one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Token of unknown characters, or null: they vanish.</summary>
    public int? Unknown { get; init; }
}

/// <summary>
/// Byte-pair encoding of pre-tokenized pieces: starting from single symbols, the pair with the lowest rank (the leftmost of equals) is
/// merged until none is left. A heap over a linked list of symbols makes it O(n log n) for any piece length; short pieces are
/// remembered, for words repeat. Safe to use from several threads.
/// </summary>
internal sealed class BytePairEncoding
{
    private const int LongestRemembered = 48;
    private const int MaxRemembered = 1 << 18;

    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<TokenPair, (int Rank, int Product)> _merges;
    private readonly BytePairOptions _options;
    private readonly Dictionary<int, int> _runes = [];
    private readonly int[] _bytes = new int[256];
    private readonly ConcurrentDictionary<string, int[]> _remembered = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> _rememberedSpans;
    private int _rememberedCount;

    /// <summary>An encoder over a vocabulary without its special tokens.</summary>
    public BytePairEncoding(Dictionary<string, int> vocabulary, IEnumerable<Merge> merges, BytePairOptions options)
    {
        _vocabulary = vocabulary;
        _options = options;
        _merges = [];
        foreach (Merge merge in merges)
        {
            _merges[new TokenPair(merge.Left, merge.Right)] = (merge.Rank, merge.Product);
        }

        foreach ((string token, int id) in vocabulary)
        {
            if (token.Length is 1 or 2 && Rune.TryGetRuneAt(token, 0, out Rune rune) && rune.Utf16SequenceLength == token.Length)
                _runes[rune.Value] = id;
        }

        for (int value = 0; value < 256; value++)
        {
            string token = options.ByteLevel ? ByteLevelAlphabet.CharacterOf((byte)value).ToString() : ByteToken((byte)value);
            _bytes[value] = vocabulary.GetValueOrDefault(token, -1);
        }

        _rememberedSpans = _remembered.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>The spelling of a byte in a vocabulary with byte fallback.</summary>
    public static string ByteToken(byte value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    /// <summary>Appends the ids of a piece.</summary>
    public void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.Length > LongestRemembered)
        {
            ids.AddRange(Merged(piece));
            return;
        }

        if (!_rememberedSpans.TryGetValue(piece, out int[]? known))
        {
            known = Merged(piece);
            if (_rememberedCount < MaxRemembered && _rememberedSpans.TryAdd(piece, known))
                Interlocked.Increment(ref _rememberedCount);
        }

        ids.AddRange(known);
    }

    /// <summary>Of a piece's tokens how many lie within its first characters, and whether the next has characters on both sides.</summary>
    /// <param name="piece">The piece.</param>
    /// <param name="length">UTF-16 units, not in the middle of a character.</param>
    public TokenCut Cut(ReadOnlySpan<char> piece, int length)
    {
        List<int> ends = [];
        Merged(piece, ends);
        int place = Encoding.UTF8.GetByteCount(piece[..length]), before = ends.FindLastIndex(end => end <= place) + 1;
        return new TokenCut(before, before < ends.Count && place > (before == 0 ? 0 : ends[before - 1]));
    }

    /// <summary>
    /// Whether no token has the marker after another character. If so, no merge crosses from a character to a marker behind it, and a text
    /// may be cut there without changing any id.
    /// </summary>
    public bool NoTokenCrosses(char marker)
    {
        if (_options.ByteLevel || !_runes.ContainsKey(marker))
            return false;

        foreach (string token in _vocabulary.Keys)
        {
            for (int i = 1; i < token.Length; i++)
            {
                if (token[i] == marker && token[i - 1] != marker)
                    return false;
            }
        }

        return true;
    }

    // Into a list of ends, where one is given, goes the place behind each token, in bytes of the piece.
    private int[] Merged(ReadOnlySpan<char> piece, List<int>? ends = null)
    {
        if (_options.IgnoreMerges && Whole(piece) is int whole)
        {
            ends?.Add(Encoding.UTF8.GetByteCount(piece));
            return [whole];
        }

        List<int> symbols = new(piece.Length);
        if (_options.ByteLevel)
        {
            AddBytes(piece, symbols, ends);
        }
        else
        {
            AddRunes(piece, symbols, ends);
        }

        return symbols.Count < 2 ? [.. symbols] : MergeSymbols([.. symbols], ends);
    }

    private int? Whole(ReadOnlySpan<char> piece)
    {
        string token = piece.ToString();
        if (_options.ByteLevel)
            token = ByteLevelAlphabet.Write(Encoding.UTF8.GetBytes(token));

        return _vocabulary.TryGetValue(token, out int id) ? id : null;
    }

    private void AddBytes(ReadOnlySpan<char> piece, List<int> symbols, List<int>? ends)
    {
        bool unknownBefore = false;
        int place = 0;
        foreach (byte value in Encoding.UTF8.GetBytes(piece.ToString()))
        {
            unknownBefore = Add(_bytes[value], unknownBefore, symbols);
            End(++place, symbols, ends);
        }
    }

    // The newest symbol ends here: it is new, or an unknown one that has grown.
    private static void End(int place, List<int> symbols, List<int>? ends)
    {
        if (ends is null || symbols.Count == 0)
            return;

        if (ends.Count < symbols.Count)
        {
            ends.Add(place);
        }
        else
        {
            ends[^1] = place;
        }
    }

    private void AddRunes(ReadOnlySpan<char> piece, List<int> symbols, List<int>? ends)
    {
        bool unknownBefore = false;
        int place = 0;
        Span<byte> utf8 = stackalloc byte[4];
        foreach (Rune rune in piece.EnumerateRunes())
        {
            int id = _runes.GetValueOrDefault(rune.Value, -1);
            int count = id < 0 && _options.ByteFallback ? rune.EncodeToUtf8(utf8) : 0;
            bool spelt = count > 0;
            for (int i = 0; i < count; i++)
            {
                spelt &= _bytes[utf8[i]] >= 0;
            }

            if (!spelt)
            {
                unknownBefore = Add(id, unknownBefore, symbols);
                End(place += rune.Utf8SequenceLength, symbols, ends);
                continue;
            }

            for (int i = 0; i < count; i++)
            {
                unknownBefore = Add(_bytes[utf8[i]], false, symbols);
                End(++place, symbols, ends);
            }
        }
    }

    /// <summary>Adds a symbol, or the unknown token for −1; returns whether it was unknown.</summary>
    private bool Add(int id, bool unknownBefore, List<int> symbols)
    {
        if (id >= 0)
        {
            symbols.Add(id);
            return false;
        }

        if (_options.Unknown is int unknown && !(unknownBefore && _options.FuseUnknown))
            symbols.Add(unknown);

        return true;
    }

    private int[] MergeSymbols(int[] symbols, List<int>? ends)
    {
        int count = symbols.Length;
        int[] next = new int[count], previous = new int[count];
        PriorityQueue<(int At, int Left, int Right, int Product), long> queue = new(count);
        for (int i = 0; i < count; i++)
        {
            next[i] = i + 1 < count ? i + 1 : -1;
            previous[i] = i - 1;
            Propose(i);
        }

        int live = count;
        while (queue.TryDequeue(out (int At, int Left, int Right, int Product) pair, out _))
        {
            int right = symbols[pair.At] == pair.Left ? next[pair.At] : -1;
            if (right < 0 || symbols[right] != pair.Right)
            {
                // One of the two has been merged away since this pair was proposed.
                continue;
            }

            symbols[pair.At] = pair.Product;
            symbols[right] = -1;
            next[pair.At] = next[right];
            if (next[right] >= 0)
                previous[next[right]] = pair.At;

            live--;
            Propose(pair.At);
            if (previous[pair.At] >= 0)
                Propose(previous[pair.At]);
        }

        int[] result = new int[live];
        for (int i = 0, n = 0; i >= 0; i = next[i], n++)
        {
            result[n] = symbols[i];
            if (ends != null)
                ends[n] = ends[(next[i] < 0 ? count : next[i]) - 1];
        }

        ends?.RemoveRange(live, count - live);
        return result;

        void Propose(int at)
        {
            if (next[at] >= 0 && _merges.TryGetValue(new TokenPair(symbols[at], symbols[next[at]]), out (int Rank, int Product) merge))
                queue.Enqueue((at, symbols[at], symbols[next[at]], merge.Product), ((long)merge.Rank << 32) | (uint)at);
        }
    }
}
