using System.Text;
using Forgetting.Core;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// Models made by hand. What is right follows from sentencepiece's normalizer.cc (the dummy prefix stands once, before the text) and
/// bpe_model.cc (the longest user-defined piece at each place, which then merges with nothing).
/// </summary>
public class SentencePieceFileTests
{
    private const int Unknown = 2, Control = 3, UserDefined = 4;

    private static readonly (string Text, int Type)[] s_pieces =
    [
        ("<unk>", Unknown), ("<s>", Control), ("</s>", Control), ("<b>", UserDefined), ("<b><b>", UserDefined), ("▁▁", UserDefined),
        ("▁", 1), ("a", 1), ("b", 1), ("ab", 1), ("▁a", 1), ("▁ab", 1), ("<", 1), (">", 1),
    ];

    [Theory]
    [InlineData("ab", "▁ab")]
    [InlineData("<b>ab", "▁|<b>|ab")]
    [InlineData("ab<b>", "▁ab|<b>")]
    [InlineData("a<b>b", "▁a|<b>|b")]
    [InlineData("<b><b><b>", "▁|<b><b>|<b>")]
    [InlineData("ab <b> ab", "▁ab|▁|<b>|▁ab")]
    [InlineData("a  b", "▁a|▁▁|b")]
    [InlineData(" ab", "▁▁|ab")]
    [InlineData("<a>", "▁|<|a|>")]
    public void User_defined_pieces_are_found_anywhere_and_take_no_prefix(string text, string expected)
    {
        Tokenizer tokenizer = Load([]);
        int[] ids = tokenizer.Encode(text, bos: false);
        Assert.Equal(expected, string.Join('|', ids.Select(tokenizer.TokenOf)));
        Assert.Equal(text, tokenizer.Decode(ids));
    }

    [Theory]
    [InlineData(new byte[] { 0x12, 3, 0xC0, 1, 1 }, "treat_whitespace_as_suffix is true; expected false")]
    [InlineData(new byte[] { 0x1A, 2, 0x28, 0 }, "escape_whitespaces is false; expected true")]
    [InlineData(new byte[] { 0x2A, 3, 0x12, 1, 65 }, "with a character map")]
    public void Settings_that_change_the_ids_are_refused(byte[] setting, string expected) =>
        Assert.Contains(expected, Assert.Throws<UserException>(() => Load(setting)).Message, StringComparison.Ordinal);

    private static Tokenizer Load(byte[] settings)
    {
        List<byte> model = [];
        for (int id = 0; id < s_pieces.Length; id++)
        {
            byte[] piece = Encoding.UTF8.GetBytes(s_pieces[id].Text);
            byte[] message =
                [0x0A, (byte)piece.Length, .. piece, 0x15, .. BitConverter.GetBytes(-(float)id), 0x18, (byte)s_pieces[id].Type];
            model.AddRange([0x0A, (byte)message.Length, .. message]);
        }

        // Trainer: model_type BPE. Normalizer: remove_extra_whitespaces off.
        model.AddRange([0x12, 2, 0x18, 2, 0x1A, 2, 0x20, 0, .. settings]);
        using TemporaryFolder folder = new();
        File.WriteAllBytes(folder["tokenizer.model"], [.. model]);
        return Tokenizer.Load(folder.Path);
    }
}
