using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Forgetting.Core;

namespace Forgetting.Text.Tokenizers;

/// <summary>What the readers of the different files hand to <see cref="Tokenizer"/>.</summary>
internal sealed record TokenizerParts
{
    public required string Source { get; init; }

    public required Dictionary<string, int> Vocabulary { get; init; }

    public required IReadOnlyList<Merge> Merges { get; init; }

    public required BytePairOptions Options { get; init; }

    public required IReadOnlyList<AddedToken> AddedTokens { get; init; }

    public Normalizer? Normalizer { get; init; }

    public PreTokenizer? PreTokenizer { get; init; }

    public required TokenDecoder Decoder { get; init; }

    /// <summary>Ids that encoding puts in front.</summary>
    public required IReadOnlyList<int> Prefix { get; init; }

    public int? BosId { get; init; }

    public IReadOnlyList<int> EosIds { get; init; } = [];

    public int? PadId { get; init; }

    /// <summary>What was read of a sentencepiece model; null of other files.</summary>
    public SentencePieceModel? SentencePiece { get; init; }
}

/// <summary>
/// Text to token ids and back, as the files of a checkpoint define it: byte-pair encoding on bytes (GPT-2, Llama 3, Qwen 2) or on
/// characters with byte fallback (sentencepiece, Llama 2). Safe to use from several threads.
/// </summary>
internal sealed class Tokenizer
{
    private readonly BytePairEncoding _model;
    private readonly Normalizer _normalize;
    private readonly PreTokenizer _preTokenize;
    private readonly TokenDecoder _decoder;
    private readonly int[] _prefix;
    private readonly Dictionary<string, int> _ids;
    private readonly string?[] _tokens;
    private readonly byte[]?[] _bytes;
    private readonly HashSet<int> _special;

    // Matchers of added tokens, [in the text as given | in the normalized text] x [without | with special tokens].
    private readonly AddedTokens[,] _added = new AddedTokens[2, 2];
    private readonly AddedTokens _control;

    internal Tokenizer(TokenizerParts parts)
    {
        _ids = new(parts.Vocabulary, StringComparer.Ordinal);
        foreach (AddedToken token in parts.AddedTokens)
        {
            _ids[token.Content] = token.Id;
        }

        _tokens = new string?[_ids.Count == 0 ? 0 : _ids.Values.Max() + 1];
        _bytes = new byte[_tokens.Length][];
        foreach ((string token, int id) in _ids)
        {
            _tokens[id] = token;
        }

        _special = [.. parts.AddedTokens.Where(t => t.Special).Select(t => t.Id)];

        // Text never becomes a special token, not even a piece that is spelt like one.
        Dictionary<string, int> plain = new(parts.Vocabulary.Where(t => !_special.Contains(t.Value)), StringComparer.Ordinal);
        _model = new BytePairEncoding(plain, parts.Merges, parts.Options);
        _normalize = parts.Normalizer ?? (text => text);
        _preTokenize = parts.PreTokenizer
            ?? (_model.NoTokenCrosses('▁') ? PreTokenizers.BeforeRunsOf('▁') : (segment, pieces) => pieces.Add(segment));
        _decoder = parts.Decoder;
        _prefix = [.. parts.Prefix];
        _control = new AddedTokens(parts.AddedTokens.Where(t => t.Special).Select(t => (t.Content, t)));
        SpecialTokens = [.. parts.AddedTokens.Where(t => t.Special).Select(t => t.Content)];
        BosId = parts.BosId;
        EosIds = parts.EosIds;
        PadId = parts.PadId;
        for (int normalized = 0; normalized < 2; normalized++)
        {
            for (int specials = 0; specials < 2; specials++)
            {
                _added[normalized, specials] = new AddedTokens(parts.AddedTokens
                    .Where(t => t.Normalized == (normalized == 1) && (!t.Special || specials == 1))
                    .Select(t => (normalized == 1 && !t.SpeltNormalized ? _normalize(t.Content) : t.Content, t)));
            }
        }
    }

    /// <summary>Id of the token that begins a text, or null.</summary>
    public int? BosId { get; }

    /// <summary>Ids that end a text; the first is the one that training data ends with. Empty where none is known.</summary>
    public IReadOnlyList<int> EosIds { get; }

    /// <summary>Id of the padding token, or null.</summary>
    public int? PadId { get; }

    /// <summary>Spellings of the control tokens.</summary>
    public IReadOnlyCollection<string> SpecialTokens { get; }

    /// <summary>Highest id + 1, added tokens included. The embedding may have more rows.</summary>
    public int VocabularySize => _tokens.Length;

    /// <summary>
    /// Reads the tokenizer of a checkpoint folder: <c>tokenizer.json</c>, else <c>vocab.json</c> with <c>merges.txt</c>, else
    /// sentencepiece's <c>tokenizer.model</c>, else llama2.c's <c>tok*.bin</c>; beside it <c>tokenizer_config.json</c>, <c>config.json</c>
    /// and <c>generation_config.json</c> where they exist.
    /// </summary>
    /// <exception cref="UserException">There is none, or it is malformed or of a kind not supported.</exception>
    public static Tokenizer Load(string folder) => new(TokenizerFolder.Read(folder));

    /// <summary>The ids of a text. No end-of-text is added.</summary>
    /// <param name="text">Any string; a lone surrogate counts as U+FFFD.</param>
    /// <param name="bos">Put in front what the tokenizer's files put in front, if anything.</param>
    /// <param name="allowSpecial">Let the spelling of a special token in the text become that token. Off,
    /// it is text like any other.</param>
    public int[] Encode(string text, bool bos = true, bool allowSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<int> result = [];
        if (bos)
            result.AddRange(_prefix);

        Append(text, result, first: true, allowSpecial);
        return [.. result];
    }

    /// <summary>The text of ids; an id that the vocabulary does not have stands for nothing.</summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="skipSpecial">Leave special tokens out.</param>
    /// <param name="startOfText">The ids begin a text, so a leading space that encoding put there is dropped.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true, bool startOfText = true)
    {
        StreamingDecoder stream = StartDecoding(skipSpecial, startOfText);
        StringBuilder text = new();
        foreach (int id in ids)
        {
            text.Append(stream.Add(id));
        }

        return text.Append(stream.Finish()).ToString();
    }

    /// <summary>A decoder for ids that come one by one; parameters as in <see cref="Decode"/>.</summary>
    public StreamingDecoder StartDecoding(bool skipSpecial = true, bool startOfText = true) =>
        new(this, skipSpecial, startOfText);

    /// <summary>A decoder of what continues a text: it begins in its middle, where a leading space counts.</summary>
    /// <param name="ids">The text so far.</param>
    public StreamingDecoder StartDecodingAfter(IEnumerable<int> ids)
    {
        StreamingDecoder decoder = StartDecoding();
        foreach (int id in ids)
        {
            decoder.Add(id);
        }

        return decoder;
    }

    /// <summary>Id of a token by its spelling in the vocabulary, or null.</summary>
    public int? IdOf(string token) => _ids.TryGetValue(token, out int id) ? id : null;

    /// <summary>
    /// Spelling of a token in the vocabulary; null for an id it does not have. (An embedding is often padded to more rows.)
    /// </summary>
    public string? TokenOf(int id) => (uint)id < (uint)_tokens.Length ? _tokens[id] : null;

    /// <summary>
    /// The text of each of several tokens in a row, for reports. A character whose bytes are spread over several tokens is the text of the
    /// first of them, and the others have none; bytes that are no UTF-8 are written as <c>\\xNN</c>.
    /// </summary>
    public IReadOnlyList<string> TextsOf(IReadOnlyList<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var texts = new StringBuilder[ids.Count];
        List<byte> bytes = [];
        List<int> owners = [];
        for (int i = 0; i < texts.Length; i++)
        {
            texts[i] = new StringBuilder();
            ReadOnlySpan<byte> own = BytesOf(ids[i]);
            bytes.AddRange(own);
            owners.AddRange(Enumerable.Repeat(i, own.Length));
        }

        ReadOnlySpan<byte> rest = CollectionsMarshal.AsSpan(bytes);
        while (rest.Length > 0)
        {
            int first = bytes.Count - rest.Length;
            if (Rune.DecodeFromUtf8(rest, out Rune rune, out int length) == OperationStatus.Done)
                texts[owners[first]].Append(rune.ToString());
            else
                length = AppendBytes(rest[..length], owners.GetRange(first, length), texts);

            rest = rest[length..];
        }

        return [.. texts.Select(text => text.ToString())];
    }

    private static int AppendBytes(ReadOnlySpan<byte> bytes, List<int> owners, StringBuilder[] texts)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            texts[owners[i]].Append(CultureInfo.InvariantCulture, $"\\x{bytes[i]:X2}");
        }

        return bytes.Length;
    }

    /// <summary>Whether the id is a control token.</summary>
    public bool IsSpecial(int id) => _special.Contains(id);

    /// <summary>
    /// Appends the ids of one stretch of an input that is put together from text and ids. <paramref name="first"/> tells whether it begins
    /// the input: some tokenizers put a space only there.
    /// </summary>
    /// <param name="places">UTF-16 units of the text, ascending, of which the place among the ids is wanted.</param>
    /// <returns>For each place where it falls among the ids appended here.</returns>
    internal TokenCut[] Append(string text, List<int> result, bool first, bool allowSpecial, params ReadOnlySpan<int> places)
    {
        text = WellFormed(text);
        int specials = allowSpecial ? 1 : 0;
        List<(int Start, int Length, AddedToken? Token)> outer = [], inner = [];
        List<Segment> pieces = [];
        var cuts = new CutList(places.Length, result);
        _added[0, specials].Split(text, outer);
        foreach ((int start, int length, AddedToken? token) in outer)
        {
            if (token != null)
            {
                cuts.Pass(start, start + length, places);
                result.Add(token.Id);
                continue;
            }

            string part = text.Substring(start, length), normalized = _normalize(part);
            int[] wanted = cuts.Count == places.Length ? [] : NormalizedPlaces(part, normalized, start, places[cuts.Count..]);
            int before = cuts.Count;
            inner.Clear();
            _added[1, specials].Split(normalized, inner);
            foreach ((int innerStart, int innerLength, AddedToken? innerToken) in inner)
            {
                if (innerToken != null)
                {
                    cuts.Pass(innerStart, innerStart + innerLength, wanted, before);
                    result.Add(innerToken.Id);
                    continue;
                }

                pieces.Clear();
                _preTokenize(new Segment(normalized, innerStart, innerLength, first && start == 0 && innerStart == 0), pieces);
                foreach (Segment piece in pieces)
                {
                    cuts.Pass(piece, _model, wanted, before);
                    _model.Encode(piece.Span, result);
                }
            }

            cuts.Finish(before + wanted.Length);
        }

        cuts.Finish(places.Length);
        return cuts.Found;
    }

    /// <summary>
    /// The places that lie in a part of a text, as places of that part once normalized: behind what the text up to there becomes by itself,
    /// as far as the whole begins with that.
    /// </summary>
    private int[] NormalizedPlaces(string part, string normalized, int start, ReadOnlySpan<int> places)
    {
        List<int> found = [];
        foreach (int place in places)
        {
            int length = Math.Max(0, place - start);
            if (length >= part.Length)
                break;

            // A place in the middle of a surrogate pair is before it.
            length -= length > 0 && char.IsSurrogatePair(part[length - 1], part[length]) ? 1 : 0;
            string before = length == 0 ? "" : _normalize(part[..length]);
            int common = before.AsSpan().CommonPrefixLength(normalized);
            found.Add(common > 0 && common < normalized.Length && char.IsSurrogatePair(normalized[common - 1], normalized[common])
                ? common - 1
                : common);
        }

        return [.. found];
    }

    /// <summary>
    /// Cuts a text at the spellings of control tokens: stretches of other text (Id null) and the tokens between them, in order.
    /// </summary>
    internal List<(int Start, int Length, int? Id)> SplitAtSpecial(string text)
    {
        List<(int Start, int Length, AddedToken? Token)> parts = [];
        _control.Split(text, parts);
        return parts.ConvertAll(p => (p.Start, p.Length, p.Token?.Id));
    }

    /// <summary>Spaces that encoding put in front of a text.</summary>
    internal int LeadingSpaces => _decoder.LeadingSpaces;

    /// <summary>The byte that a token of byte fallback stands for; null for any other.</summary>
    internal byte? FallbackByteOf(int id) => TokenOf(id) is { } token && !_special.Contains(id) ? _decoder.FallbackByte(token) : null;

    /// <summary>What a token contributes that begins a text.</summary>
    internal ReadOnlySpan<byte> FirstBytesOf(int id) => _decoder.Marker is { } marker && TokenOf(id) is { } token && !_special.Contains(id)
        ? _decoder.Bytes(token.Replace(marker, "", StringComparison.Ordinal))
        : BytesOf(id);

    internal ReadOnlySpan<byte> BytesOf(int id)
    {
        if (TokenOf(id) is not { } token)
            return [];

        return _bytes[id] ??= _special.Contains(id) ? Encoding.UTF8.GetBytes(token) : _decoder.Bytes(token);
    }

    /// <summary>The text with every lone surrogate as U+FFFD, as any encoder to UTF-8 has it.</summary>
    private static string WellFormed(string text)
    {
        ReadOnlySpan<char> rest = text;
        if (rest.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
            return text;

        StringBuilder repaired = new(text.Length);
        Span<char> units = stackalloc char[2];
        foreach (Rune rune in rest.EnumerateRunes())
        {
            repaired.Append(units[..rune.EncodeToUtf16(units)]);
        }

        return repaired.ToString();
    }
}
