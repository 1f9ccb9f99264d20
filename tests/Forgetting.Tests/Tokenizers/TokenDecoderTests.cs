using System.Text.Json.Nodes;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

public class TokenDecoderTests
{
    private const string Sequence = """
        {"type": "Sequence", "decoders": [
          {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
          {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
        """;

    private const string Always = """{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}""";
    private const string Never = """{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}""";

    /// <summary>The texts are those of Hugging Face's tokenizers (through the package Tokenizers.DotNet 1.4.1) for the same file.</summary>
    [Theory]
    [InlineData(Sequence, "<0xE6>|<0xBC>|<0xA2>", "\u6f22")]
    [InlineData(Sequence, "<0xE6>|<0xBC>", "\ufffd\ufffd")]
    [InlineData(Sequence, "<0x61>|<0xFF>|<0x62>", "\ufffd\ufffd\ufffd")]
    [InlineData(Sequence, "x|<0xE6>|<0xBC>|<0xA2>|<0xFF>|x", "x\ufffd\ufffd\ufffd\ufffdx")]
    [InlineData(Sequence, "<0xC3>|x|<0xA9>", "\ufffdx\ufffd")]
    [InlineData(Sequence, "▁a|<0x20>|▁a", "a  a")]
    [InlineData(Sequence, "▁▁▁|▁a", "   a")]
    [InlineData(Sequence, "a▁b|a▁b", "a ba b")]
    [InlineData(Sequence, "▁|▁|x", " x")]
    [InlineData(Sequence, "<0x20>|<0x20>|x", " x")]
    [InlineData(Sequence, "<0xFF>|▁a", "\ufffd a")]
    [InlineData(Always, "▁a|<0x20>|▁a", "a<0x20> a")]
    [InlineData(Always, "▁▁▁|▁a", " a")]
    [InlineData(Always, "a▁b|a▁b", "aba b")]
    [InlineData(Always, "▁|▁|x", " x")]
    [InlineData(Always, "<0xFF>|▁a", "<0xFF> a")]
    [InlineData(Never, "▁a|<0x20>|▁a", " a<0x20> a")]
    [InlineData(Never, "▁▁▁|▁a", "    a")]
    [InlineData(Never, "a▁b|a▁b", "a ba b")]
    [InlineData(Never, "▁|▁|x", "  x")]
    [InlineData(Never, "<0xFF>|▁a", "<0xFF> a")]
    public void Ids_decode_as_Hugging_Face_decodes_them(string decoder, string tokens, string expected)
    {
        Tokenizer tokenizer = Load(decoder);
        int[] ids = [.. tokens.Split('|').Select(t => tokenizer.IdOf(t)!.Value)];
        Assert.Equal(expected, tokenizer.Decode(ids));
        StreamingDecoder stream = tokenizer.StartDecoding();
        string[] parts = [.. ids.Select(stream.Add), stream.Finish()];
        Assert.Equal(expected, string.Concat(parts));
    }

    /// <summary>In the middle of a text nothing is stripped.</summary>
    [Theory]
    [InlineData(Sequence, " a")]
    [InlineData(Always, " a")]
    public void A_text_that_goes_on_keeps_its_space(string decoder, string expected)
    {
        Tokenizer tokenizer = Load(decoder);
        Assert.Equal(expected, tokenizer.Decode([tokenizer.IdOf("▁a")!.Value], startOfText: false));
    }

    private static Tokenizer Load(string decoder)
    {
        JsonObject vocabulary = [];
        foreach (string token in Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>").Concat(["▁", "▁a", "a▁b", "▁▁▁", "x"]))
        {
            vocabulary[token] = vocabulary.Count;
        }

        return TestTokenizers.Load(new JsonObject
        {
            ["decoder"] = JsonNode.Parse(decoder),
            ["model"] = new JsonObject { ["type"] = "BPE", ["byte_fallback"] = true, ["vocab"] = vocabulary, ["merges"] = new JsonArray() },
        });
    }
}
