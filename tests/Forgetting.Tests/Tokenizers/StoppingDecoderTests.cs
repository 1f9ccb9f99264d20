using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

public class StoppingDecoderTests
{
    /// <summary>With one token a byte, the parts between bars are what each byte released; the last is what the end released.</summary>
    [Theory]
    [InlineData("abc", "", "a|b|c|")]
    [InlineData("abXc", "X", "a|b||", true)]
    [InlineData("a\n\nb", "\n\n", "a|||", true)]
    [InlineData("a\nb\n", "\n\n", "a||\nb||\n")]
    [InlineData("aababac", "abac", "|a|||ab|||", true)]
    [InlineData("abEND", "END,bE", "a|||", true)]
    [InlineData("aé", "é", "a|||", true)]
    [InlineData("ab", "abc,b", "|a|", true)]
    public void Text_ends_before_the_first_stop_and_nothing_is_taken_back(string text, string stops, string parts, bool stopped = false)
    {
        Tokenizer tokenizer = TestTokenizers.Bytes();
        var stream = new StoppingDecoder(tokenizer.StartDecoding(), stops.Split(',', StringSplitOptions.RemoveEmptyEntries));
        string[] released = [.. tokenizer.Encode(text, bos: false).TakeWhile(_ => !stream.Stopped).Select(stream.Add), stream.Finish()];
        Assert.Equal(parts, string.Join('|', released));
        Assert.Equal(stopped, stream.Stopped);
        Assert.Equal(stopped ? "" : "z", stream.Add('z'));
    }

    // Neither letter is a piece of its own, so they are two and three tokens of a byte each; the bytes by themselves are no character.
    [SharedDataFact]
    public void Byte_tokens_show_as_their_character()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        int[] bytes = [.. new[] { "<0xC5>", "<0x99>", "<0xE6>", "<0x97>", "<0xA5>" }.Select(token => tokenizer.IdOf(token)!.Value)];
        int letter = tokenizer.Encode("a", bos: false)[^1];
        string a = tokenizer.TextsOf([letter])[0];
        Assert.Equal(["ř", "", a, "日", "", ""], tokenizer.TextsOf([bytes[0], bytes[1], letter, bytes[2], bytes[3], bytes[4]]));
        Assert.Equal(["\\xE6", "\\x97", a, "\\xA5"], tokenizer.TextsOf([bytes[2], bytes[3], letter, bytes[4]]));
    }
}
