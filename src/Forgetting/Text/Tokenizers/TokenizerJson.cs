using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Text.Tokenizers;

/// <summary>Reads <c>tokenizer.json</c> of the tokenizers library, and its older form <c>vocab.json</c> with <c>merges.txt</c>.</summary>
internal static class TokenizerJson
{
    // Far above any vocabulary; a file that names a higher id would only make us allocate.
    private const int MaxIds = 1 << 22;

    /// <summary>Reads <c>tokenizer.json</c>.</summary>
    /// <exception cref="UserException">Malformed, or a model other than BPE, or a part that is not supported.</exception>
    public static TokenizerParts Read(string file) => Read(JsonView.Load(file), file);

    /// <summary>Reads what such a file would say.</summary>
    /// <param name="root">Its object.</param>
    /// <param name="file">Where it comes from.</param>
    /// <inheritdoc cref="Read(string)"/>
    public static TokenizerParts Read(JsonView root, string file)
    {
        JsonView model = root["model"];
        RequireSupported(model);
        Dictionary<string, int> vocabulary = ReadVocabulary(model["vocab"]);
        List<AddedToken> added =
            root.Find("added_tokens") is { } tokens ? [.. tokens.Items().Select(t => ReadAddedToken(t, vocabulary))] : [];

        bool byteLevel = false;
        PreTokenizer? preTokenizer = root.Find("pre_tokenizer") is { } pre ? PreTokenizers.Read(pre, out byteLevel) : null;
        TokenDecoder decoder = root.Find("decoder") is { } written ? TokenDecoder.Read(written)
            : byteLevel ? TokenDecoder.ByteLevel()
            : TokenDecoder.Plain();
        List<int> prefix = root.Find("post_processor") is { } post ? PrefixOf(post, vocabulary, added) : [];
        return new TokenizerParts
        {
            Source = file,
            Vocabulary = vocabulary,
            Merges = ReadMerges(model["merges"], vocabulary),
            Options = new BytePairOptions
            {
                ByteLevel = byteLevel,
                ByteFallback = model.Flag("byte_fallback"),
                IgnoreMerges = model.Flag("ignore_merges"),
                FuseUnknown = model.Flag("fuse_unk"),
                Unknown = model.Find("unk_token") is { } unknown ? IdOf(unknown, vocabulary, added) : null,
            },
            AddedTokens = added,
            Normalizer = root.Find("normalizer") is { } normalizer ? Normalizers.Read(normalizer) : null,
            PreTokenizer = preTokenizer,
            Decoder = decoder,
            Prefix = prefix,
            BosId = prefix.Count > 0 ? prefix[0] : null,
        };
    }

    /// <summary>Reads the older pair of files: GPT-2's split, or Qwen2's where <c>tokenizer_config.json</c> names its class.</summary>
    public static TokenizerParts ReadVocabularyAndMerges(string vocabularyFile, string mergesFile, JsonView? config, JsonView? addedTokens)
    {
        const string endOfText = "<|endoftext|>";
        Dictionary<string, int> vocabulary = ReadVocabulary(JsonView.Load(vocabularyFile));
        List<AddedToken> added = [];
        foreach (KeyValuePair<string, JsonView> token in addedTokens?.Members() ?? [])
        {
            added.Add(new AddedToken(Id(token.Value), token.Key) { Special = true });
        }

        foreach (KeyValuePair<string, JsonView> token in config?.Find("added_tokens_decoder")?.Members() ?? [])
        {
            if (!int.TryParse(token.Key, out int id) || id is < 0 or >= MaxIds)
                throw token.Value.Wrong($"under the key \"{token.Key}\"", "a token id as the key");

            added.RemoveAll(t => t.Id == id);
            added.Add(ReadAddedToken(token.Value, id));
        }

        if (added.Count == 0 && vocabulary.TryGetValue(endOfText, out int end))
            added.Add(new AddedToken(end, endOfText) { Special = true });

        bool qwen2 = IsQwen2(config);
        int? endId = added.Find(t => t.Content == endOfText)?.Id;
        return new TokenizerParts
        {
            Source = vocabularyFile,
            Vocabulary = vocabulary,
            Merges = ReadMergesFile(mergesFile, vocabulary),
            Options = new BytePairOptions { ByteLevel = true },
            AddedTokens = added,
            Normalizer = qwen2 ? text => UnicodeNormalization.Normalize(text, System.Text.NormalizationForm.FormC) : null,
            PreTokenizer = qwen2
                ? PreTokenizers.Isolating(PreTokenizers.Qwen2Pattern)
                : PreTokenizers.ByteLevel(config?.Flag("add_prefix_space") ?? false, useRegex: true),
            Decoder = TokenDecoder.ByteLevel(),
            Prefix = [],
            BosId = qwen2 ? null : endId,
            EosIds = endId is int id2 ? [id2] : [],
        };
    }

    /// <summary>Whether a <c>tokenizer_config.json</c> names Qwen2's class, whose split is not GPT-2's.</summary>
    internal static bool IsQwen2(JsonView? config) =>
        config?.Find("tokenizer_class")?.AsString().StartsWith("Qwen2", StringComparison.Ordinal) ?? false;

    private static void RequireSupported(JsonView model)
    {
        // The oldest files do not name the type; their BPE models are those with merges.
        if (model.Find("type") is { } type && type.AsString() != "BPE")
            throw type.Wrong(type.Describe(), "BPE, the only supported kind of tokenizer");

        foreach (string key in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            if (model.Find(key) is { } affix && affix.AsString().Length > 0)
                throw affix.Wrong(affix.Describe(), "null: word affixes are not supported");
        }

        if (model.Find("dropout") is { } dropout
            && !(dropout.Element.ValueKind == JsonValueKind.Number && dropout.Element.GetDouble() == 0))
        {
            throw dropout.Wrong(dropout.Describe(), "null: random merges are not supported");
        }
    }

    private static Dictionary<string, int> ReadVocabulary(JsonView view)
    {
        Dictionary<string, int> vocabulary = new(StringComparer.Ordinal);
        foreach ((string token, JsonView id) in view.Members())
        {
            vocabulary[token] = Id(id);
        }

        return vocabulary.Count > 0 ? vocabulary : throw view.Wrong("empty", "tokens and their ids");
    }

    private static int Id(JsonView view) =>
        view.AsInt32() is int id and >= 0 and < MaxIds ? id : throw view.Wrong(view.Describe(), $"an id from 0 to {MaxIds - 1}");

    private static List<Merge> ReadMerges(JsonView view, Dictionary<string, int> vocabulary)
    {
        List<Merge> merges = [];
        foreach (JsonView item in view.Items())
        {
            string[] pair =
                item.Element.ValueKind == JsonValueKind.Array ? [.. item.Items().Select(i => i.AsString())] : item.AsString().Split(' ');
            merges.Add(MakeMerge(pair, merges.Count, vocabulary, $"{view.Source}: merge {merges.Count + 1}"));
        }

        return merges;
    }

    private static List<Merge> ReadMergesFile(string file, Dictionary<string, int> vocabulary)
    {
        List<Merge> merges = [];
        int number = 0;
        foreach (string line in File.ReadLines(file))
        {
            number++;
            if (line.Length > 0 && !(number == 1 && line.StartsWith("#version", StringComparison.Ordinal)))
                merges.Add(MakeMerge(line.Split(' '), merges.Count, vocabulary, $"{file}: line {number}"));
        }

        return merges;
    }

    private static Merge MakeMerge(string[] pair, int rank, Dictionary<string, int> vocabulary, string place)
    {
        if (pair.Length != 2)
            throw new UserException($"{place} has {pair.Length} parts; expected 2 tokens");

        return new Merge(Known(pair[0]), Known(pair[1]), rank, Known(pair[0] + pair[1]));

        int Known(string token) =>
            vocabulary.TryGetValue(token, out int id)
            ? id
            : throw new UserException($"{place} needs the token \"{token}\", which is not in the vocabulary");
    }

    private static AddedToken ReadAddedToken(JsonView view, Dictionary<string, int> vocabulary) =>
        // Where the model's vocabulary has the token too, its id is the one that counts.
        ReadAddedToken(view, vocabulary.TryGetValue(view["content"].AsString(), out int known) ? known : Id(view["id"]));

    private static AddedToken ReadAddedToken(JsonView view, int id)
    {
        bool special = view.Flag("special");
        return new AddedToken(id, view["content"].AsString())
        {
            Special = special,
            StripLeft = view.Flag("lstrip"),
            StripRight = view.Flag("rstrip"),
            SingleWord = view.Flag("single_word"),
            Normalized = view.Flag("normalized", !special),
        };
    }

    /// <summary>The ids that a post-processor puts before a single text.</summary>
    private static List<int> PrefixOf(JsonView view, Dictionary<string, int> vocabulary, List<AddedToken> added)
    {
        JsonView type = view["type"];
        switch (type.AsString())
        {
            case "ByteLevel":
                return [];
            case "Sequence":
                return [.. view["processors"].Items().SelectMany(p => PrefixOf(p, vocabulary, added))];
            case "BertProcessing" or "RobertaProcessing":
                JsonView[] start = [.. view["cls"].Items()];
                return start.Length > 0 ? [IdOf(start[0], vocabulary, added)] : throw view["cls"].Wrong("empty", "a token and its id");
            case "TemplateProcessing":
                List<int> prefix = [];
                foreach (JsonView item in view["single"].Items())
                {
                    if (item.Find("SpecialToken") is not { } token)
                        break;

                    prefix.AddRange(view["special_tokens"][token["id"].AsString()]["ids"].Items().Select(Id));
                }

                return prefix;
            default:
                throw type.Wrong(
                    type.Describe(),
                    "a supported post-processor (TemplateProcessing, ByteLevel, Sequence, BertProcessing, RobertaProcessing)");
        }
    }

    private static int IdOf(JsonView token, Dictionary<string, int> vocabulary, List<AddedToken> added)
    {
        string content = token.AsString();
        return vocabulary.TryGetValue(content, out int id) ? id
            : added.Find(t => t.Content == content)?.Id ?? throw token.Wrong($"\"{content}\"", "a token of the vocabulary");
    }
}
