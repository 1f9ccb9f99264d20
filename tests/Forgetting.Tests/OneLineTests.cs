using Forgetting.Core;
using Xunit;

namespace Forgetting.Tests;

public class OneLineTests
{
    [Theory]
    [InlineData("plain 'text' with \"quotes\" – ä 😀", "plain 'text' with \"quotes\" – ä 😀")]
    [InlineData("two\nlines\r\n\tand a \u001b[31mcolour", "two\\nlines\\r\\n\\tand a \\u001b[31mcolour")]
    [InlineData("right \u202eto left, \u2028", "right \\u202eto left, \\u2028")]
    public void A_message_is_one_line_that_does_nothing_to_a_terminal(string message, string expected) =>
        Assert.Equal(expected, new UserException(message).Message);

    [Fact]
    public void Half_a_character_is_escaped() => Assert.Equal("half \\ud83d, \\ude00", new UserException("half \ud83d, \ude00").Message);

    [Fact]
    public void Quotes_are_cut_at_80_characters_and_messages_at_2000()
    {
        string key = new('k', 60_000);
        Assert.Equal($"f:1: \"{key[..79]}…\" is no setting", new UserException($"f:1: \"{key}\" is no setting").Message);
        Assert.Equal($"f:1: \"{key[..80]}\" is", new UserException($"f:1: \"{key[..80]}\" is").Message);
        Assert.Equal(key[..1999] + "…", new UserException(key).Message);
        Assert.Equal(2000, new UserException(new string('"', 60_000), new IOException()).Message.Length);
    }
}
