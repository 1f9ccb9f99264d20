using System.Globalization;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// The <c>decoder</c> of a <c>tokenizer.json</c>, as what each token contributes in bytes and how many spaces the whole text loses in
/// front. Bytes, because a character may be spread over several tokens.
/// </summary>
internal sealed class TokenDecoder
{
    private readonly List<(TextPattern Pattern, string Content)> _replacements = [];
    private bool _byteLevel;
    private bool _byteFallback;
    private bool _fused;

    /// <summary>Spaces at the front of a decoded text that encoding put there.</summary>
    public int LeadingSpaces { get; private set; }

    /// <summary>
    /// What marks a space, all of which the token that begins a text loses; null where it loses only <see cref="LeadingSpaces"/>.
    /// </summary>
    public string? Marker { get; private set; }

    /// <summary>A decoder for <see cref="ByteLevelAlphabet"/>.</summary>
    public static TokenDecoder ByteLevel() => new() { _byteLevel = true };

    /// <summary>The decoder of sentencepiece vocabularies: ▁ is a space, <c>&lt;0xNN&gt;</c> a byte.</summary>
    public static TokenDecoder SentencePiece(bool dummyPrefix, string source)
    {
        TokenDecoder decoder = new() { _byteFallback = true, LeadingSpaces = dummyPrefix ? 1 : 0 };
        decoder._replacements.Add((TextPattern.Literal("▁", source), " "));
        return decoder;
    }

    /// <summary>Tokens as they are.</summary>
    public static TokenDecoder Plain() => new();

    /// <summary>Reads a decoder, sequences included.</summary>
    /// <exception cref="UserException">The kind, or the order of a sequence, is not supported.</exception>
    public static TokenDecoder Read(JsonView view)
    {
        TokenDecoder decoder = new();
        decoder.Add(view);
        return decoder;
    }

    /// <summary>The byte that a token of byte fallback stands for; null for any other token.</summary>
    public byte? FallbackByte(string token) =>
        _byteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value)
            ? value
            : null;

    /// <summary>What a token contributes to the text.</summary>
    public byte[] Bytes(string token)
    {
        if (FallbackByte(token) is byte value)
            return [value];

        foreach ((TextPattern pattern, string content) in _replacements)
        {
            token = pattern.Replace(token, content);
        }

        return _byteLevel ? ByteLevelAlphabet.Read(token) : Encoding.UTF8.GetBytes(token);
    }

    private void Add(JsonView view)
    {
        JsonView type = view["type"];
        switch (type.AsString())
        {
            case "Sequence":
                foreach (JsonView part in view["decoders"].Items())
                {
                    Add(part);
                }

                break;
            case "ByteLevel":
                _byteLevel = true;
                break;
            case "ByteFallback":
                _byteFallback = true;
                break;
            case "Fuse":
                _fused = true;
                break;
            case "Replace" when !_fused:
                _replacements.Add((TextPattern.Read(view["pattern"]), view["content"].AsString()));
                break;
            case "Metaspace":
                string marker = view["replacement"].AsString();
                _replacements.Add((TextPattern.Literal(marker, view.Source), " "));
                bool prefixed =
                    view.Find("prepend_scheme") is { } scheme ? scheme.AsString() != "never" : view.Flag("add_prefix_space", true);
                Marker = prefixed ? marker : null;
                break;
            case "Strip" when _fused && view["content"].AsString() == " " && (view.Find("stop")?.AsInt32() ?? 0) == 0:
                LeadingSpaces = Math.Max(0, view.Find("start")?.AsInt32() ?? 0);
                break;
            default:
                throw type.Wrong(
                    type.Describe(),
                    "a supported decoder: ByteLevel, Metaspace, or Sequence of Replace, ByteFallback, "
                        + "Fuse and then Strip of leading spaces");
        }
    }
}
