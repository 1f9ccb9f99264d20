using System.Buffers.Binary;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Reads the <c>tokenizer.bin</c> of llama2.c: int32 longest piece, then for each piece float32 score, int32 length and the bytes. It is a
/// sentencepiece vocabulary with spaces in place of ▁ and with ids 0, 1 and 2 for unknown, begin and end.
/// </summary>
internal static class Llama2cVocabulary
{
    private const int SpecialCount = 3, ByteCount = 256;

    /// <summary>Reads the file.</summary>
    /// <exception cref="UserException">Truncated or malformed.</exception>
    public static TokenizerParts Read(string file)
    {
        ReadOnlySpan<byte> bytes = InputFile.ReadBytes(file).Span;
        List<(string Text, float Score, int Type)> pieces = [];
        for (int at = 4; at < bytes.Length;)
        {
            int length = at + 8 <= bytes.Length ? BinaryPrimitives.ReadInt32LittleEndian(bytes[(at + 4)..]) : -1;
            if (length < 0 || length > bytes.Length - at - 8)
            {
                throw new UserException(
                    $"{file}: piece {pieces.Count} does not fit in the file's {bytes.Length} bytes; "
                    + "expected llama2.c's score, length and bytes");
            }

            float score = BinaryPrimitives.ReadSingleLittleEndian(bytes[at..]);
            string text = Encoding.UTF8.GetString(bytes.Slice(at + 8, length));
            pieces.Add(Piece(pieces.Count, text, score));
            at += 8 + length;
        }

        if (pieces.Count < SpecialCount + ByteCount || pieces[SpecialCount].Text != BytePairEncoding.ByteToken(0))
        {
            throw new UserException(
                $"{file}: {pieces.Count} pieces; expected at least {SpecialCount + ByteCount}, "
                + $"the bytes from <0x00> after {SpecialCount} special tokens");
        }

        return SentencePieceFile.Build(file, pieces, dummyPrefix: true, collapseSpaces: false) with
        {
            Prefix = [1],
            BosId = 1,
            EosIds = [2],
        };
    }

    // The exporter writes <s> and </s> with newlines around them, for printing.
    private static (string Text, float Score, int Type) Piece(int id, string text, float score) => id switch
    {
        0 => (text, score, 2),
        1 or 2 => (text.Trim('\n'), score, 3),
        < SpecialCount + ByteCount => (text, score, 6),
        _ => (text.Replace(' ', '▁'), float.IsNaN(score) ? float.NegativeInfinity : score, 1),
    };
}
