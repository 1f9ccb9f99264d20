using System.Text.Json.Nodes;
using Forgetting.Core;

namespace Forgetting.Text.Tokenizers;

/// <summary>
/// Turns llama2.c's tokenizer file into the <c>tokenizer.json</c> and <c>tokenizer_config.json</c> of a
/// Hugging Face folder, as Llama 2 has them.
/// </summary>
internal static class Llama2cTokenizerJson
{
    private const string Unknown = "<unk>", Begin = "<s>", End = "</s>", Space = "▁";

    /// <summary>Writes both files into a folder.</summary>
    /// <exception cref="UserException">The tokenizer file is malformed.</exception>
    public static void Write(string folder, string tokenizerFile)
    {
        TokenizerParts parts = Llama2cVocabulary.Read(tokenizerFile);
        var json = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray(Special(0, Unknown), Special(1, Begin), Special(2, End)),
            ["normalizer"] = Sequence("normalizers", new() { ["type"] = "Prepend", ["prepend"] = Space }, Replace(" ", Space)),
            ["pre_tokenizer"] = null,
            ["post_processor"] = BeginFirst(),
            ["decoder"] = Sequence(
                "decoders", Replace(Space, " "), new() { ["type"] = "ByteFallback" }, new() { ["type"] = "Fuse" },
                new() { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 }),
            ["model"] = Model(parts),
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), json.ToJsonString());
        var config = new JsonObject
        {
            ["tokenizer_class"] = "LlamaTokenizer",
            ["bos_token"] = Begin,
            ["eos_token"] = End,
            ["unk_token"] = Unknown,
            ["add_bos_token"] = true,
            ["add_eos_token"] = false,
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config.ToJsonString());
    }

    private static JsonObject Model(TokenizerParts parts)
    {
        var vocabulary = new JsonObject();
        var names = new string[parts.Vocabulary.Count];
        foreach ((string token, int id) in parts.Vocabulary.OrderBy(p => p.Value))
        {
            vocabulary[token] = id;
            names[id] = token;
        }

        return new JsonObject
        {
            ["type"] = "BPE",
            ["dropout"] = null,
            ["unk_token"] = Unknown,
            ["continuing_subword_prefix"] = null,
            ["end_of_word_suffix"] = null,
            ["fuse_unk"] = true,
            ["byte_fallback"] = true,
            ["ignore_merges"] = false,
            ["vocab"] = vocabulary,
            ["merges"] = new JsonArray([.. parts.Merges.OrderBy(m => m.Rank).Select(m => (JsonNode)$"{names[m.Left]} {names[m.Right]}")]),
        };
    }

    private static JsonObject BeginFirst() => new()
    {
        ["type"] = "TemplateProcessing",
        ["single"] = new JsonArray(BeginAt(0), TextAt("A", 0)),
        ["pair"] = new JsonArray(BeginAt(0), TextAt("A", 0), BeginAt(1), TextAt("B", 1)),
        ["special_tokens"] = new JsonObject
        {
            [Begin] = new JsonObject { ["id"] = Begin, ["ids"] = new JsonArray(1), ["tokens"] = new JsonArray(Begin) },
        },
    };

    private static JsonObject BeginAt(int type) => new() { ["SpecialToken"] = new JsonObject { ["id"] = Begin, ["type_id"] = type } };

    private static JsonObject TextAt(string id, int type) => new() { ["Sequence"] = new JsonObject { ["id"] = id, ["type_id"] = type } };

    private static JsonObject Special(int id, string content) => new()
    {
        ["id"] = id, ["content"] = content, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false,
        ["special"] = true,
    };

    private static JsonObject Replace(string text, string content) => new()
    {
        ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = text }, ["content"] = content,
    };

    private static JsonObject Sequence(string key, params JsonObject[] items) =>
        new() { ["type"] = "Sequence", [key] = new JsonArray([.. items]) };
}
