using System.Text;

namespace Forgetting.HuggingFace.Tokenizers;

/// <summary>
/// Turns ids into text as they come. A character whose bytes are spread over several tokens is returned with the last of them; bytes that
/// are no UTF-8 become U+FFFD.
/// </summary>
public sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecial;
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private int _spacesToDrop;

    internal StreamingDecoder(Tokenizer tokenizer, bool skipSpecial, int leadingSpaces)
    {
        _tokenizer = tokenizer;
        _skipSpecial = skipSpecial;
        _spacesToDrop = leadingSpaces;
    }

    /// <summary>The characters that are complete with this token; often none.</summary>
    public string Add(int id)
    {
        if (_skipSpecial && _tokenizer.IsSpecial(id))
        {
            return "";
        }

        ReadOnlySpan<byte> bytes = _tokenizer.BytesOf(id);
        while (_spacesToDrop > 0 && bytes.Length > 0)
        {
            if (bytes[0] != (byte)' ')
            {
                _spacesToDrop = 0;
                break;
            }

            bytes = bytes[1..];
            _spacesToDrop--;
        }

        return Decode(bytes, flush: false);
    }

    /// <summary>What is left of an unfinished character, as U+FFFD.</summary>
    public string Finish() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        // The decoder may still hold up to three bytes.
        Span<char> buffer = bytes.Length + 4 <= 256 ? stackalloc char[256] : new char[bytes.Length + 4];
        int count = _utf8.GetChars(bytes, buffer, flush);
        return new string(buffer[..count]);
    }
}
