using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Forgetting.Demo;

/// <summary>
/// Writes a <c>tokenizer.json</c> whose vocabulary is the 256 bytes and the whole words of a corpus: byte-level BPE that looks words up
/// before merging and has no merges, so known words are one token and anything else falls back to bytes.
/// </summary>
internal static partial class WordTokenizer
{
    /// <summary>The token that ends a text.</summary>
    public const string EndOfText = "<|endoftext|>";

    /// <summary>Writes tokenizer.json and tokenizer_config.json to <paramref name="folder"/>.</summary>
    /// <returns>Size of the vocabulary; the last id is <see cref="EndOfText"/>.</returns>
    public static int Write(string folder, IEnumerable<string> texts)
    {
        var vocabulary = new Dictionary<string, int>();
        for (int b = 0; b < 256; b++)
        {
            vocabulary.Add(ByteSymbol((byte)b).ToString(), b);
        }

        var words = texts.SelectMany(t => Words().Matches(t).Select(m => m.Value)).ToHashSet();
        foreach (string word in words.Order(StringComparer.Ordinal))
        {
            vocabulary.TryAdd(string.Concat(Encoding.UTF8.GetBytes(word).Select(ByteSymbol)), vocabulary.Count);
        }

        int end = vocabulary.Count;
        var tokenizer = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray(new JsonObject
            {
                ["id"] = end, ["content"] = EndOfText, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false,
                ["normalized"] = false, ["special"] = true,
            }),
            ["normalizer"] = null,
            ["pre_tokenizer"] =
                new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["post_processor"] =
                new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = true, ["trim_offsets"] = false, ["use_regex"] = true },
            ["decoder"] =
                new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = true, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE", ["dropout"] = null, ["unk_token"] = null, ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null, ["fuse_unk"] = false, ["byte_fallback"] = false, ["ignore_merges"] = true,
                ["vocab"] = new JsonObject(vocabulary.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))),
                ["merges"] = new JsonArray(),
            },
        };
        var options = new JsonSerializerOptions { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), tokenizer.ToJsonString(options) + "\n");
        var configuration =
            new JsonObject { ["tokenizer_class"] = "PreTrainedTokenizerFast", ["eos_token"] = EndOfText, ["add_prefix_space"] = false };
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), configuration.ToJsonString(options) + "\n");
        return end + 1;
    }

    // GPT-2's printable stand-ins: bytes that are printable Latin-1 stand for themselves, the others follow from U+0100.
    private static char ByteSymbol(byte value)
    {
        static bool Printable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
        return Printable(value) ? (char)value : (char)(256 + Enumerable.Range(0, value).Count(b => !Printable(b)));
    }

    // The corpus is ASCII, where this is what the ByteLevel pre-tokenizer splits.
    [GeneratedRegex(@" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")]
    private static partial Regex Words();
}
