using System.Text;
using System.Text.Unicode;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Turns ids into text as they come. A character whose bytes are spread over several tokens is returned with the last of them; bytes that
/// are no UTF-8 become U+FFFD. A run of tokens of byte fallback is returned as a whole with the token behind it: as Hugging Face has it,
/// such a run is text, or one U+FFFD a byte.
/// </summary>
internal sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecial;
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private readonly List<byte> _run = [];
    private int _spacesToDrop;
    private bool _first;

    internal StreamingDecoder(Tokenizer tokenizer, bool skipSpecial, bool startOfText)
    {
        _tokenizer = tokenizer;
        _skipSpecial = skipSpecial;
        _first = startOfText;
        _spacesToDrop = startOfText ? tokenizer.LeadingSpaces : 0;
    }

    /// <summary>The characters that are complete with this token; often none.</summary>
    public string Add(int id)
    {
        if (_skipSpecial && _tokenizer.IsSpecial(id))
            return "";

        bool first = _first;
        _first = false;
        if (_tokenizer.FallbackByteOf(id) is byte value)
        {
            _run.Add(value);
            return "";
        }

        string run = EndRun();
        return run + Decode(WithoutLeadingSpaces(first ? _tokenizer.FirstBytesOf(id) : _tokenizer.BytesOf(id)), flush: false);
    }

    /// <summary>What is left of an unfinished character, as U+FFFD.</summary>
    public string Finish() => EndRun() + Decode([], flush: true);

    private string EndRun()
    {
        if (_run.Count == 0)
            return "";

        byte[] bytes = [.. _run];
        _run.Clear();
        if (Utf8.IsValid(bytes))
            return Decode(WithoutLeadingSpaces(bytes), flush: false);

        _spacesToDrop = 0;
        return new string('\uFFFD', bytes.Length);
    }

    private ReadOnlySpan<byte> WithoutLeadingSpaces(ReadOnlySpan<byte> bytes)
    {
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

        return bytes;
    }

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        // The decoder may still hold up to three bytes.
        Span<char> buffer = bytes.Length + 4 <= 256 ? stackalloc char[256] : new char[bytes.Length + 4];
        int count = _utf8.GetChars(bytes, buffer, flush);
        return new string(buffer[..count]);
    }
}
