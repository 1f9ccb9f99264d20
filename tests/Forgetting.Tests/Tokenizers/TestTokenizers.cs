using System.Text;
using System.Text.Json.Nodes;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Tests.Tokenizers;

/// <summary>Tokenizers made for a test.</summary>
internal static class TestTokenizers
{
    public const int Bos = 256, Eos = 257, Turn = 258;

    /// <summary>
    /// One token a byte, ids the byte values, without merges; &lt;s&gt; in front, &lt;/s&gt; at the end, &lt;|turn|&gt;
    /// between. Positions can be counted by hand.
    /// </summary>
    public static Tokenizer Bytes(bool bos = true) => Bytes([], bos);

    /// <summary>
    /// The same with merges, each two tokens with a space between, in the order of their ranks; their products have ids from 259 on,
    /// and nothing else divides the text.
    /// </summary>
    public static Tokenizer Bytes(string[] merges, bool bos = true)
    {
        JsonObject vocabulary = [];
        for (int value = 0; value < 256; value++)
        {
            vocabulary[ByteLevelAlphabet.CharacterOf((byte)value).ToString()] = value;
        }

        foreach (string merge in merges)
        {
            vocabulary[merge.Replace(" ", "", StringComparison.Ordinal)] = vocabulary.Count + 3;
        }

        JsonObject root = new()
        {
            ["added_tokens"] = new JsonArray(Special(Bos, "<s>"), Special(Eos, "</s>"), Special(Turn, "<|turn|>")),
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = merges.Length == 0 },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray(
                [.. merges.Select(m => JsonValue.Create(m))])
            },
        };
        return Load(root, $$"""{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": {{(bos ? "true" : "false")}}}""");
    }

    /// <summary>The tokenizer of a tokenizer.json, with a tokenizer_config.json or without.</summary>
    /// <param name="compared">Texts whose ids are compared with Hugging Face's own library, where that runs.</param>
    public static Tokenizer Load(JsonObject root, string? config = null, IEnumerable<string>? compared = null)
    {
        using TemporaryFolder folder = new();
        folder.Write("tokenizer.json", root.ToJsonString());
        if (config != null)
            folder.Write("tokenizer_config.json", config);

        Tokenizer tokenizer = Tokenizer.Load(folder.Path);
        if (HuggingFaceTokenizer.Runs && compared != null)
            HuggingFaceTokenizer.AssertSame(folder["tokenizer.json"], tokenizer, compared);

        return tokenizer;
    }

    public static JsonObject Special(int id, string content) => new() { ["id"] = id, ["content"] = content, ["special"] = true };

    public static int[] Utf8(string text) => [.. Encoding.UTF8.GetBytes(text).Select(b => (int)b)];
}
