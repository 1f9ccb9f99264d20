using System.Text.Json.Nodes;
using Forgetting.Core;
using Forgetting.IO;
using static Forgetting.Text.Tokenizers.PieceType;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// The tokenizer in a GGUF file's metadata, which is read where no other lies beside it: a sentencepiece vocabulary with scores, or
/// byte-level merges whose split the file gives by llama.cpp's name for it.
/// </summary>
internal static class GgufVocabulary
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>Whether the tokenizer of a model is the one in its file: a GGUF file without another beside it.</summary>
    public static bool IsSource(string path)
    {
        string file = ModelPath.Resolve(path), folder = ModelPath.FilesOf(path);
        return folder != file && !TokenizerFolder.IsIn(folder);
    }

    /// <summary>Reads the tokenizer.</summary>
    /// <exception cref="UserException">The file has none, or one of another kind.</exception>
    public static TokenizerParts Read(string path)
    {
        using var file = MappedFile.Open(ModelPath.Resolve(path));
        return Parts(GgufContents.Read(file));
    }

    private static TokenizerParts Parts(GgufContents contents)
    {
        TokenizerParts parts = ModelOf(contents) == "llama" ? Pieces(contents) : TokenizerJson.Read(View(contents), contents.Path);
        int? begin = contents.IntOrNull($"{Prefix}bos_token_id"), end = contents.IntOrNull($"{Prefix}eos_token_id");
        return parts with
        {
            BosId = begin,
            EosIds = end is int id ? [id] : [],
            PadId = contents.IntOrNull($"{Prefix}padding_token_id"),
            Prefix = begin is int first && Begins(contents) ? [first] : [],
        };
    }

    /// <summary>What <c>tokenizer.json</c> would say of byte-level merges.</summary>
    /// <exception cref="UserException">See <see cref="Read"/>.</exception>
    public static JsonView ByteLevel(string path)
    {
        using var file = MappedFile.Open(ModelPath.Resolve(path));
        return View(GgufContents.Read(file));
    }

    /// <summary>The chat template and the special tokens that it may name; null where the file has none.</summary>
    /// <exception cref="UserException">The file is damaged.</exception>
    public static (string Text, IReadOnlyDictionary<string, string> Tokens)? Template(string path)
    {
        using var file = MappedFile.Open(ModelPath.Resolve(path));
        var contents = GgufContents.Read(file);
        return contents.TextOrNull("tokenizer.chat_template") is { } text ? (text, SpecialTokens(contents)) : null;
    }

    /// <summary>The special tokens that a template may name, by what templates call them.</summary>
    /// <exception cref="UserException">The file is damaged.</exception>
    public static IReadOnlyDictionary<string, string> SpecialTokens(string path)
    {
        using var file = MappedFile.Open(ModelPath.Resolve(path));
        return SpecialTokens(GgufContents.Read(file));
    }

    /// <summary>Writes the tokenizer as the files of a Hugging Face folder.</summary>
    /// <exception cref="UserException">See <see cref="Read"/>.</exception>
    public static void WriteFiles(string path, string folder)
    {
        using var file = MappedFile.Open(ModelPath.Resolve(path));
        var contents = GgufContents.Read(file);
        if (ModelOf(contents) == "llama")
            SentencePieceWriter.Write(folder, Parts(contents));
        else
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), ByteLevel(contents).ToJsonString());

        var config = new JsonObject { ["add_bos_token"] = Begins(contents), ["add_eos_token"] = false };
        foreach ((string role, string token) in SpecialTokens(contents))
        {
            config[role] = token;
        }

        if (contents.TextOrNull("tokenizer.chat_template") is { } template)
            config["chat_template"] = template;

        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config.ToJsonString());
    }

    private static string ModelOf(GgufContents contents) => contents.TextOrNull($"{Prefix}model") switch
    {
        { } name and ("llama" or "gpt2") => name,
        null => throw new UserException($"{contents.Path}: has no tokenizer, expected one in it, or tokenizer.json beside it"),
        { } other => throw new UserException(
            $"{contents.Path}: {Prefix}model is {Wording.Quote(other)}, expected llama or gpt2, or tokenizer.json beside it"),
    };

    // llama.cpp puts the first token in front of a sentencepiece text, and of Llama 3's, where the file does not say.
    private static bool Begins(GgufContents contents) => contents.FlagOrNull($"{Prefix}add_bos_token")
        ?? (ModelOf(contents) == "llama" || IsLlama3(contents.TextOrNull($"{Prefix}pre")));

    // llama.cpp's names for Llama 3's split, whose words are taken whole.
    private static bool IsLlama3(string? pre) => pre is "llama-bpe" or "llama3" or "llama-v3";

    private static TokenizerParts Pieces(GgufContents contents)
    {
        (IReadOnlyList<string> tokens, IReadOnlyList<int> types) = Tokens(contents);
        IReadOnlyList<double> scores = contents.List<double>($"{Prefix}scores");
        if (scores.Count != tokens.Count)
            throw new UserException($"{contents.Path}: {Prefix}scores has {scores.Count} values, expected {tokens.Count}");

        // What users have defined is spelt with spaces there.
        (string, float, int)[] pieces =
            [.. tokens.Select((text, id) => (types[id] == UserDefined ? text.Replace(' ', '▁') : text, (float)scores[id], types[id]))];
        return SentencePieceFile.Build(
            contents.Path, pieces, contents.FlagOrNull($"{Prefix}add_space_prefix") ?? true, collapseSpaces: false);
    }

    private static JsonView View(GgufContents contents) => JsonView.Of(ByteLevel(contents), contents.Path);

    // As tokenizer.json has it.
    private static JsonObject ByteLevel(GgufContents contents)
    {
        (IReadOnlyList<string> tokens, IReadOnlyList<int> types) = Tokens(contents);
        string? pre = contents.TextOrNull($"{Prefix}pre");
        JsonArray added = [];
        var vocabulary = new JsonObject();
        for (int id = 0; id < tokens.Count; id++)
        {
            if (types[id] == Normal)
                vocabulary[tokens[id]] = id;

            if (types[id] is Control or UserDefined)
            {
                added.Add(new JsonObject
                {
                    ["id"] = id, ["content"] = tokens[id], ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false,
                    ["normalized"] = false, ["special"] = types[id] == Control,
                });
            }
        }

        JsonArray merges = [.. contents.List<string>($"{Prefix}merges").Select(merge => (JsonNode)merge)];
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = pre == "qwen2" ? new JsonObject { ["type"] = "NFC" } : null,
            ["pre_tokenizer"] = Split(contents, pre),
            ["decoder"] = Bytes(split: true),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE", ["ignore_merges"] = IsLlama3(pre), ["vocab"] = vocabulary,
                ["merges"] = merges,
            },
        };
    }

    private static JsonObject Split(GgufContents contents, string? pre) => pre switch
    {
        "gpt-2" => Bytes(split: true),
        "smollm" => Two(new JsonObject { ["type"] = "Digits", ["individual_digits"] = true }, Bytes(split: true)),
        _ when IsLlama3(pre) || pre == "smaug-bpe" => Two(Pattern(PreTokenizers.Llama3Pattern), Bytes(split: false)),
        "qwen2" => Two(Pattern(PreTokenizers.Qwen2Pattern), Bytes(split: false)),
        _ => throw new UserException($"{contents.Path}: {Prefix}pre is {(pre is null ? "missing" : Wording.Quote(pre))}, expected gpt-2, "
            + "smollm, llama-bpe, smaug-bpe or qwen2, or tokenizer.json beside it"),
    };

    private static JsonObject Two(JsonObject first, JsonObject second) =>
        new() { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray(first, second) };

    private static JsonObject Pattern(string pattern) => new()
    {
        ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false,
    };

    private static JsonObject Bytes(bool split) =>
        new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = split };

    private static (IReadOnlyList<string> Tokens, IReadOnlyList<int> Types) Tokens(GgufContents contents)
    {
        IReadOnlyList<string> tokens = contents.List<string>($"{Prefix}tokens");
        int[] types = [.. contents.List<long>($"{Prefix}token_type").Select(type => (int)type)];
        return tokens.Count > 0 && types.Length == tokens.Count
            ? (tokens, types)
            : throw new UserException(
                $"{contents.Path}: has {tokens.Count} tokens and {types.Length} types of them, expected as many of both");
    }

    private static Dictionary<string, string> SpecialTokens(GgufContents contents)
    {
        IReadOnlyList<string> tokens = contents.List<string>($"{Prefix}tokens");
        Dictionary<string, string> special = [];
        foreach ((string role, string key) in new[]
        {
            ("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding"),
        })
        {
            if (contents.IntOrNull($"{Prefix}{key}_token_id") is int id && id >= 0 && id < tokens.Count)
                special[role] = tokens[id];
        }

        return special;
    }
}
