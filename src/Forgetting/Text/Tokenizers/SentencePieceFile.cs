using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;
using static Forgetting.Text.Tokenizers.PieceType;

namespace Forgetting.Text.Tokenizers;

/// <summary>A sentencepiece model.</summary>
/// <param name="Pieces">Pieces by id; neighbours become one whose piece has the highest score of all.</param>
/// <param name="SpaceInFront">A space is put in front of a text.</param>
/// <param name="CollapsesSpaces">Runs of spaces are one space, and those at both ends of a text are dropped.</param>
internal sealed record SentencePieceModel(
    IReadOnlyList<(string Text, float Score, int Type)> Pieces, bool SpaceInFront, bool CollapsesSpaces);

/// <summary>
/// Reads sentencepiece's <c>tokenizer.model</c>: a protobuf <c>ModelProto</c> with pieces (1), trainer (2) and normalizer (3) settings.
/// Only BPE models; those of Llama 2 and Mistral are.
/// </summary>
internal static class SentencePieceFile
{
    private const int BpeModel = 2;

    /// <summary>Reads the file.</summary>
    /// <exception cref="UserException">Malformed, or a model other than BPE, or a normalizer that is not the identity.</exception>
    public static TokenizerParts Read(string file)
    {
        ReadOnlyMemory<byte> bytes = InputFile.ReadBytes(file);
        List<(string Text, float Score, int Type)> pieces = [];
        int modelType = 1, bos = 1, eos = 2, pad = -1;
        bool dummyPrefix = true, collapseSpaces = true, charsMap = false, spaceBehind = false, spacesAsTheyAre = false;
        foreach (Field field in Fields(bytes, file))
        {
            switch (field.Number)
            {
                case 1:
                    pieces.Add(ReadPiece(field.Bytes, file));
                    break;
                case 2:
                    foreach (Field setting in Fields(field.Bytes, file))
                    {
                        switch (setting.Number)
                        {
                            case 3: modelType = (int)setting.Value; break;
                            case 24: spaceBehind = setting.Value != 0; break;
                            case 41: bos = (int)setting.Value; break;
                            case 42: eos = (int)setting.Value; break;
                            case 43: pad = (int)setting.Value; break;
                        }
                    }

                    break;
                case 3:
                    foreach (Field setting in Fields(field.Bytes, file))
                    {
                        switch (setting.Number)
                        {
                            case 2: charsMap = setting.Bytes.Length > 0; break;
                            case 3: dummyPrefix = setting.Value != 0; break;
                            case 4: collapseSpaces = setting.Value != 0; break;
                            case 5: spacesAsTheyAre = setting.Value == 0; break;
                        }
                    }

                    break;
                case 5:
                    charsMap |= Fields(field.Bytes, file).Any(setting => setting.Number == 2 && setting.Bytes.Length > 0);
                    break;
            }
        }

        if (modelType != BpeModel || charsMap)
        {
            throw new UserException(
                $"{file}: a sentencepiece model of type {modelType} {(charsMap ? "with" : "without")} a character map; "
                + "expected type 2 (BPE) without one");
        }

        if (spaceBehind || spacesAsTheyAre)
        {
            string setting =
                spaceBehind ? "treat_whitespace_as_suffix is true; expected false" : "escape_whitespaces is false; expected true";
            throw new UserException($"{file}: {setting}, as in all published models of this kind");
        }

        bool HasId(int id) => id >= 0 && id < pieces.Count;
        return Build(file, pieces, dummyPrefix, collapseSpaces) with
        {
            Prefix = HasId(bos) ? [bos] : [],
            BosId = HasId(bos) ? bos : null,
            EosIds = HasId(eos) ? [eos] : [],
            PadId = HasId(pad) ? pad : null,
        };
    }

    /// <summary>The tokenizer of a list of scored pieces in the order of their ids; spaces in pieces are written ▁.</summary>
    public static TokenizerParts Build(
        string source, IReadOnlyList<(string Text, float Score, int Type)> pieces, bool dummyPrefix, bool collapseSpaces)
    {
        Dictionary<string, int> vocabulary = new(StringComparer.Ordinal);
        List<AddedToken> added = [];
        int? unknown = null;
        for (int id = 0; id < pieces.Count; id++)
        {
            (string text, _, int type) = pieces[id];
            if (text.Length == 0 || !vocabulary.TryAdd(text, id))
                throw new UserException($"{source}: piece {id} \"{text}\" is empty or stands there twice");

            unknown ??= type == Unknown ? id : null;
            if (type == UserDefined && text.Contains(' ', StringComparison.Ordinal))
                throw new UserException($"{source}: the user-defined piece {id} \"{text}\" has a space that is not written ▁");

            if (type is Unknown or Control or UserDefined)
            {
                added.Add(
                    new AddedToken(id, text) { Special = type != UserDefined, Normalized = type == UserDefined, SpeltNormalized = true });
            }
        }

        List<Normalizer> normalizers = [];
        if (collapseSpaces)
        {
            TextPattern spaces = TextPattern.Expression(" +", source);
            normalizers.Add(text => spaces.Replace(text.Trim(' '), " "));
        }

        if (dummyPrefix)
            normalizers.Add(Normalizers.Prepend("▁"));

        normalizers.Add(text => text.Replace(' ', '▁'));
        return new TokenizerParts
        {
            Source = source,
            Vocabulary = vocabulary,
            Merges = MergesOf(pieces, vocabulary),
            Options = new BytePairOptions
            {
                ByteFallback = vocabulary.ContainsKey(BytePairEncoding.ByteToken(0)),
                FuseUnknown = true,
                Unknown = unknown,
            },
            AddedTokens = added,
            Normalizer = Normalizers.Sequence(normalizers),
            Decoder = TokenDecoder.SentencePiece(dummyPrefix, source),
            Prefix = [],
            SentencePiece = new SentencePieceModel(pieces, dummyPrefix, collapseSpaces),
        };
    }

    /// <summary>
    /// Sentencepiece has no list of merges: any two neighbours whose concatenation is a piece may merge, the highest score first and the
    /// leftmost of equal scores. That is one merge for each way to cut a piece in two pieces, ranked by score.
    /// </summary>
    private static List<Merge> MergesOf(IReadOnlyList<(string Text, float Score, int Type)> pieces, Dictionary<string, int> vocabulary)
    {
        Dictionary<float, int> ranks = [];
        foreach (float score in pieces.Where(p => p.Type == Normal).Select(p => p.Score).Distinct().OrderDescending())
        {
            ranks.Add(score, ranks.Count);
        }

        List<Merge> merges = [];
        var parts = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        for (int id = 0; id < pieces.Count; id++)
        {
            (string text, float score, int type) = pieces[id];
            for (int cut = 1; type == Normal && cut < text.Length; cut++)
            {
                if (IsPart(text.AsSpan(0, cut), out int left) && IsPart(text.AsSpan(cut), out int right))
                    merges.Add(new Merge(left, right, ranks[score], id));
            }
        }

        return merges;

        bool IsPart(ReadOnlySpan<char> text, out int id) => parts.TryGetValue(text, out id) && pieces[id].Type is Normal or OneByte;
    }

    private static (string Text, float Score, int Type) ReadPiece(ReadOnlyMemory<byte> bytes, string file)
    {
        string text = "";
        float score = 0;
        int type = Normal;
        foreach (Field field in Fields(bytes, file))
        {
            switch (field.Number)
            {
                case 1: text = Encoding.UTF8.GetString(field.Bytes.Span); break;
                case 2: score = BitConverter.Int32BitsToSingle((int)field.Value); break;
                case 3: type = (int)field.Value; break;
            }
        }

        return float.IsNaN(score) ? throw new UserException($"{file}: piece \"{text}\" has no score") : (text, score, type);
    }

    private readonly record struct Field(int Number, long Value, ReadOnlyMemory<byte> Bytes);

    /// <summary>The fields of a protobuf message: varints and fixed numbers as Value, strings and messages as Bytes.</summary>
    private static IEnumerable<Field> Fields(ReadOnlyMemory<byte> message, string file)
    {
        int at = 0;
        while (at < message.Length)
        {
            long tag = Varint();
            int number = (int)(tag >> 3);
            switch (tag & 7)
            {
                case 0:
                    yield return new Field(number, Varint(), default);
                    break;
                case 1:
                    yield return new Field(number, BinaryPrimitives.ReadInt64LittleEndian(Take(8).Span), default);
                    break;
                case 2:
                    yield return new Field(number, 0, Take(Varint()));
                    break;
                case 5:
                    yield return new Field(number, BinaryPrimitives.ReadInt32LittleEndian(Take(4).Span), default);
                    break;
                default:
                    throw Malformed();
            }
        }

        long Varint()
        {
            long value = 0;
            for (int shift = 0; shift < 64 && at < message.Length; shift += 7)
            {
                byte next = message.Span[at++];
                value |= (long)(next & 0x7F) << shift;
                if (next < 0x80)
                    return value;
            }

            throw Malformed();
        }

        ReadOnlyMemory<byte> Take(long length)
        {
            if (length < 0 || length > message.Length - at)
                throw Malformed();

            at += (int)length;
            return message.Slice(at - (int)length, (int)length);
        }

        UserException Malformed() =>
            new(string.Create(
                CultureInfo.InvariantCulture, $"{file}: not a sentencepiece model (protobuf broken at byte {at} of {message.Length})"));
    }
}
