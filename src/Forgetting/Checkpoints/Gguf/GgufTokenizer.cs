using System.Text.Json;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using static Forgetting.Text.Tokenizers.PieceType;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>
/// The tokenizer of a checkpoint as a GGUF file describes it: tokens with their types, and scores of a sentencepiece vocabulary, or merges
/// and the name of the split of a byte-level one. What llama.cpp would tokenize otherwise is refused.
/// </summary>
internal static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>Adds the tokenizer and the chat template.</summary>
    /// <param name="ends">Ids that end an answer, the first also a text.</param>
    /// <exception cref="UserException">llama.cpp has no such tokenizer.</exception>
    public static void AddTo(GgufMetadata metadata, Checkpoint source, IReadOnlyList<int> ends)
    {
        TokenizerParts parts = TokenizerFolder.Read(source.TokenizerPath ?? source.Path);
        if (Pieces(parts) is { } model)
            AddPieces(metadata, model, parts, source);
        else
            AddByteLevel(metadata, parts, source);

        AddSpecial(metadata, parts, ends);
        if (ChatTemplate.Load(source.Path) is { } template)
            metadata.Add("tokenizer.chat_template", template.Text);
    }

    private static SentencePieceModel? Pieces(TokenizerParts parts)
    {
        if (parts.SentencePiece is not null)
            return parts.SentencePiece;

        if (Path.GetFileName(parts.Source) != "tokenizer.json")
            return null;

        JsonElement root = JsonView.Load(parts.Source).Element;
        bool spaceInFront = SentencePieceWriter.IsSentencePiece(root);
        if (!spaceInFront && !SentencePieceWriter.IsSentencePieceWithoutSpaceInFront(root))
            return null;

        // Where merges are in an order that no scores can say, the model that they were made from may lie beside them.
        if (SentencePieceWriter.Pieces(parts) is { } pieces)
            return new SentencePieceModel(pieces, spaceInFront, CollapsesSpaces: false);

        string file = Path.Combine(Path.GetDirectoryName(parts.Source)!, "tokenizer.model");
        Dictionary<string, int> ids = new(parts.Vocabulary, StringComparer.Ordinal);
        parts.AddedTokens.ToList().ForEach(token => ids[token.Content] = token.Id);
        if (!File.Exists(file) || SentencePieceFile.Read(file).SentencePiece is not { } beside
            || beside.Pieces.Where((piece, id) => !ids.TryGetValue(piece.Text, out int known) || known != id).Any())
        {
            throw Refused(parts, "merges in an order that no scores can say, without the tokenizer.model that they come from", "scores");
        }

        IEnumerable<AddedToken> further = parts.AddedTokens.Where(t => t.Id >= beside.Pieces.Count).OrderBy(t => t.Id);
        return beside with { Pieces = [.. beside.Pieces, .. further.Select(t => (t.Content, 0f, TypeOf(t)))] };
    }

    private static void AddPieces(GgufMetadata metadata, SentencePieceModel model, TokenizerParts parts, Checkpoint source)
    {
        if (model.CollapsesSpaces)
            throw Refused(parts, "runs of spaces made one", "spaces as they are");

        if (Enumerable.Range(0, 256).Any(value => !parts.Vocabulary.ContainsKey(BytePairEncoding.ByteToken((byte)value))))
            throw Refused(parts, "a sentencepiece vocabulary without the 256 bytes", "<0x00> to <0xFF> in it");

        var tokens = new TokenList(parts, source);
        float[] scores = new float[tokens.Count];
        for (int id = 0; id < model.Pieces.Count; id++)
        {
            (string text, scores[id], int type) = model.Pieces[id];
            tokens.Set(id, type == UserDefined ? text.Replace('▁', ' ') : text, type);
        }

        metadata.Add(Prefix + "model", "llama");
        metadata.Add(Prefix + "pre", "default");
        tokens.AddTo(metadata);
        metadata.Add(Prefix + "scores", scores);
        metadata.Add(Prefix + "add_space_prefix", model.SpaceInFront);
    }

    private static void AddByteLevel(GgufMetadata metadata, TokenizerParts parts, Checkpoint source)
    {
        string pre = GgufSplit.NameOf(parts)
            ?? throw Refused(parts, "a split or a normalizer of another kind", "that of gpt2, llama3, qwen2 or smollm, or sentencepiece's");
        var tokens = new TokenList(parts, source);
        Dictionary<int, string> names = [];
        foreach ((string text, int id) in parts.Vocabulary)
        {
            tokens.Set(id, text, Normal);
            names[id] = text;
        }

        foreach (AddedToken token in parts.AddedTokens)
        {
            tokens.Set(token.Id, token.Content, TypeOf(token));
        }

        metadata.Add(Prefix + "model", "gpt2");
        metadata.Add(Prefix + "pre", pre);
        tokens.AddTo(metadata);
        metadata.Add(Prefix + "merges", [.. parts.Merges.OrderBy(m => m.Rank).Select(m => $"{names[m.Left]} {names[m.Right]}")]);
    }

    private static void AddSpecial(GgufMetadata metadata, TokenizerParts parts, IReadOnlyList<int> ends)
    {
        // llama.cpp takes id 11 or 2 where none is given.
        if (ends.Count == 0)
            throw Refused(parts, "no token that ends a text", "eos_token in tokenizer_config.json or eos_token_id in config.json");

        if (parts.Prefix.Count > 1)
            throw Refused(parts, $"{parts.Prefix.Count} tokens put in front of a text", "at most one");

        int? first = parts.Prefix.Count == 1 ? parts.Prefix[0] : parts.BosId;
        AddId("bos_token_id", first);
        AddId("eos_token_id", ends[0]);
        AddId("eot_token_id", ends.Count > 1 ? ends[1] : null);
        AddId("eom_token_id", ends.Count > 2 ? ends[2] : null);
        AddId("unknown_token_id", parts.Options.Unknown);
        AddId("padding_token_id", parts.PadId);
        metadata.Add(Prefix + "add_bos_token", parts.Prefix.Count == 1);
        metadata.Add(Prefix + "add_eos_token", false);

        void AddId(string key, int? id)
        {
            if (id is int value)
                metadata.Add(Prefix + key, value);
        }
    }

    private static int TypeOf(AddedToken token) => token.Special ? Control : UserDefined;

    private static UserException Refused(TokenizerParts parts, string found, string expected) =>
        new($"{parts.Source}: has {found}; for GGUF expected {expected}");

    /// <summary>Tokens by id, one for each row of the embedding: rows that the tokenizer does not know have names of their own.</summary>
    private sealed class TokenList
    {
        private readonly string[] _texts;
        private readonly int[] _types;

        public TokenList(TokenizerParts parts, Checkpoint source)
        {
            Count = source.Config.VocabularySize;
            _texts = new string[Count];
            _types = new int[Count];
            if (parts.Vocabulary.Values.Concat(parts.AddedTokens.Select(t => t.Id)).Max() is var most && most >= Count)
                throw Refused(parts, $"a token with id {most}", $"ids below {Count}, the rows of the embedding of {source.Path}");
        }

        public int Count { get; }

        public void Set(int id, string text, int type) => (_texts[id], _types[id]) = (text, type);

        public void AddTo(GgufMetadata metadata)
        {
            HashSet<string> taken = [.. _texts.Where(t => t is not null)];
            for (int id = 0; id < Count; id++)
            {
                if (_texts[id] is not null)
                    continue;

                string name = $"[PAD{id}]";
                while (!taken.Add(name))
                {
                    name = $"[{name}]";
                }

                Set(id, name, Unused);
            }

            metadata.Add(Prefix + "tokens", _texts);
            metadata.Add(Prefix + "token_type", _types);
        }
    }
}
