using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using static Forgetting.Text.Tokenizers.PieceType;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Writes sentencepiece's <c>tokenizer.model</c> beside a <c>tokenizer.json</c> that says the same with merges, as Llama 2's does.
/// Converters of other programs (llama.cpp's) take the order of merges from the pieces' scores alone and tokenize otherwise without them.
/// </summary>
internal static class SentencePieceWriter
{
    private const string FileName = "tokenizer.model", Space = "▁";
    private const int BpeModel = 2;

    // Wire types of protobuf.
    private const int Varint = 0, Length = 2, Fixed32 = 5;

    /// <summary>
    /// Adds the file to a model folder where it is missing and can say what <c>tokenizer.json</c> says; else leaves the folder as it is.
    /// </summary>
    public static void Complete(string folder)
    {
        string json = Path.Combine(folder, "tokenizer.json");
        if (File.Exists(Path.Combine(folder, FileName)) || !File.Exists(json))
            return;

        TokenizerParts parts;
        try
        {
            if (!IsSentencePiece(JsonView.Load(json).Element))
                return;

            parts = TokenizerFolder.Read(folder);
        }
        catch (UserException)
        {
            return; // whoever reads the tokenizer is told what is wrong with it
        }

        if (Pieces(parts) is { } pieces)
            File.WriteAllBytes(Path.Combine(folder, FileName), Encode(pieces, parts));
    }

    /// <summary>Writes the file of a tokenizer that is a sentencepiece model.</summary>
    public static void Write(string folder, TokenizerParts parts)
    {
        SentencePieceModel model = parts.SentencePiece ?? throw new ArgumentException("no sentencepiece model", nameof(parts));
        File.WriteAllBytes(Path.Combine(folder, FileName), Encode(model.Pieces, parts, model.SpaceInFront));
    }

    /// <summary>
    /// Whether a <c>tokenizer.json</c> puts ▁ in front of the text and in place of spaces and splits nothing:
    /// what sentencepiece does by itself.
    /// </summary>
    internal static bool IsSentencePiece(JsonElement root)
    {
        JsonElement splitter = Member(root, "pre_tokenizer"), normalizer = Member(root, "normalizer");
        if (!IsModel(Member(root, "model")))
            return false;

        if (normalizer.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined)
        {
            return Is(splitter, "type", "Metaspace") && Is(splitter, "replacement", Space) && !Is(splitter, "prepend_scheme", "never")
                && Member(splitter, "split").ValueKind == JsonValueKind.False;
        }

        JsonElement[] steps =
            Member(normalizer, "normalizers") is { ValueKind: JsonValueKind.Array } list ? [.. list.EnumerateArray()] : [];
        return splitter.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined && steps.Length == 2
            && Is(steps[0], "type", "Prepend") && Is(steps[0], "prepend", Space) && IsReplacement(steps[1]);
    }

    /// <summary>
    /// Whether it puts ▁ in place of spaces alone, as Gemma's does; that it splits at spaces then changes nothing, since there are none.
    /// </summary>
    internal static bool IsSentencePieceWithoutSpaceInFront(JsonElement root)
    {
        JsonElement splitter = Member(root, "pre_tokenizer");
        return IsModel(Member(root, "model")) && IsReplacement(Member(root, "normalizer"))
            && (splitter.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined
                || (Is(splitter, "type", "Split") && Is(Member(splitter, "pattern"), "String", " ")));
    }

    private static bool IsModel(JsonElement model) =>
        Is(model, "type", "BPE") && Member(model, "byte_fallback").ValueKind == JsonValueKind.True
            && Member(model, "ignore_merges").ValueKind != JsonValueKind.True;

    private static bool IsReplacement(JsonElement step) =>
        Is(step, "type", "Replace") && Is(step, "content", Space) && Is(Member(step, "pattern"), "String", " ");

    private static JsonElement Member(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out JsonElement value) ? value : default;

    private static bool Is(JsonElement json, string name, string value) =>
        Member(json, name) is { ValueKind: JsonValueKind.String } text && text.ValueEquals(value);

    /// <summary>The pieces by id with scores that rank them as the merges do; null where no scores can, or where ids are missing.</summary>
    internal static (string Text, float Score, int Type)[]? Pieces(TokenizerParts parts)
    {
        var pieces = new (string Text, float Score, int Type)[Math.Max(
            parts.Vocabulary.Values.Max(), parts.AddedTokens.Select(t => t.Id).DefaultIfEmpty(0).Max()) + 1];
        foreach ((string text, int id) in parts.Vocabulary)
        {
            pieces[id] = (text, 0, IsByte(text) ? OneByte : Normal);
        }

        foreach (AddedToken token in parts.AddedTokens)
        {
            pieces[token.Id] = (token.Content, 0, token.Id == parts.Options.Unknown ? Unknown : token.Special ? Control : UserDefined);
        }

        if (pieces.Any(p => p.Type == 0) || !pieces.Any(p => p.Type == Unknown) || !RankPieces(pieces, parts))
            return null;

        return pieces;
    }

    // Sentencepiece merges any two neighbours that make a piece, the piece of the highest score first: so every way to cut a piece in two
    // must be a merge, and the merges of one piece must stand together.
    private static bool RankPieces((string Text, float Score, int Type)[] pieces, TokenizerParts parts)
    {
        int product = -1, rank = 0;
        var ranked = new bool[pieces.Length];
        foreach (Merge merge in parts.Merges.OrderBy(m => m.Rank))
        {
            if (merge.Product != product)
            {
                product = merge.Product;
                if (ranked[product] || pieces[product].Type != Normal)
                    return false;

                ranked[product] = true;
                pieces[product].Score = -rank++;
            }
        }

        HashSet<(int Left, int Right)> merges = [.. parts.Merges.Select(m => (m.Left, m.Right))];
        var ids = parts.Vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        for (int id = 0; id < pieces.Length; id++)
        {
            string text = pieces[id].Text;
            if (pieces[id].Type != Normal)
                continue;

            for (int cut = 1; cut < text.Length; cut++)
            {
                bool parted = ids.TryGetValue(text.AsSpan(0, cut), out int left) & ids.TryGetValue(text.AsSpan(cut), out int right);
                if (parted && pieces[left].Type == Normal && pieces[right].Type == Normal && !merges.Contains((left, right)))
                    return false;
            }

            if (!ranked[id])
                pieces[id].Score = -rank++;
        }

        return true;
    }

    private static bool IsByte(string text) => text.Length == 6 && text.StartsWith("<0x", StringComparison.Ordinal) && text[^1] == '>';

    private static byte[] Encode(
        IReadOnlyList<(string Text, float Score, int Type)> pieces, TokenizerParts parts, bool spaceInFront = true)
    {
        var model = new List<byte>();
        foreach ((string text, float score, int type) in pieces)
        {
            var piece = new List<byte>();
            AddBytes(piece, 1, Encoding.UTF8.GetBytes(text));
            AddTag(piece, 2, Fixed32);
            byte[] number = new byte[4];
            BinaryPrimitives.WriteSingleLittleEndian(number, score);
            piece.AddRange(number);
            AddNumber(piece, 3, type);
            AddBytes(model, 1, [.. piece]);
        }

        var trainer = new List<byte>();
        AddNumber(trainer, 3, BpeModel);
        AddNumber(trainer, 4, pieces.Count);
        AddNumber(trainer, 35, 1); // byte_fallback
        AddNumber(trainer, 40, parts.Options.Unknown ?? -1);
        AddNumber(trainer, 41, parts.BosId ?? -1);
        AddNumber(trainer, 42, parts.EosIds.Count > 0 ? parts.EosIds[0] : -1);
        AddNumber(trainer, 43, parts.PadId ?? -1);
        AddBytes(model, 2, [.. trainer]);

        var normalizer = new List<byte>();
        AddBytes(normalizer, 1, "identity"u8.ToArray());
        AddNumber(normalizer, 3, spaceInFront ? 1 : 0); // add_dummy_prefix
        AddNumber(normalizer, 4, 0); // remove_extra_whitespaces
        AddNumber(normalizer, 5, 1); // escape_whitespaces
        AddBytes(model, 3, [.. normalizer]);
        return [.. model];
    }

    private static void AddTag(List<byte> message, int field, int wireType) => AddVarint(message, (ulong)((field << 3) | wireType));

    private static void AddNumber(List<byte> message, int field, long value)
    {
        AddTag(message, field, Varint);
        AddVarint(message, (ulong)value);
    }

    private static void AddBytes(List<byte> message, int field, byte[] bytes)
    {
        AddTag(message, field, Length);
        AddVarint(message, (ulong)bytes.Length);
        message.AddRange(bytes);
    }

    private static void AddVarint(List<byte> message, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            message.Add((byte)(value | 0x80));
        }

        message.Add((byte)value);
    }
}
