using System.Text;
using System.Text.Json.Nodes;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>Folders with small tokenizers of each kind, their merges learnt from a few lines of text.</summary>
internal static class TinyTokenizers
{
    public const string Gpt2 = "gpt2", VocabAndMerges = "vocab.json", SmolLm = "smollm", Llama3 = "llama3", Qwen2 = "qwen2";
    public const string Llama3Merging = "llama3-merging", SentencePiece = "sentencepiece", Gemma = "gemma";

    private const int Merges = 180;

    private const string Llama3Split =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>
    /// What is learnt: words, digits, contractions, accents and other scripts, so that merges cross every kind of boundary that a split
    /// forbids.
    /// </summary>
    public const string Text =
        "The old lighthouse keeper counted 1234 gulls in 1987 and 12 more at noon. " +
        "\"They're mine,\" he said, \"and I'll feed them; it's only fair!\"\n" +
        "Der Wärter zählte 25000 Möwen über dem Meer, naïve façades déjà vu.\n\n" +
        "Смотритель маяка считал чаек. 灯台守はカモメを数えた。 ελληνικά العربية हिन्दी\n" +
        "    if (x == 10) { return y + 200; }\t// done...\n" +
        "We've 3.14159 reasons, don't we? She'd say: that's 99% of 100.\n";

    /// <summary>All kinds.</summary>
    public static IReadOnlyList<string> Kinds { get; } = [Gpt2, VocabAndMerges, SmolLm, Llama3, Llama3Merging, Qwen2, SentencePiece, Gemma];

    /// <summary>Writes a tokenizer of a kind.</summary>
    /// <returns>Size of its vocabulary; id 0 ends a text, and begins one where the kind has that.</returns>
    public static int Write(string kind, string folder)
    {
        Directory.CreateDirectory(folder);
        return kind is SentencePiece or Gemma
            ? WriteSentencePiece(folder, spaceInFront: kind == SentencePiece)
            : WriteByteLevel(kind, folder);
    }

    private static int WriteByteLevel(string kind, string folder)
    {
        const string turn = "<|turn|>";
        string end = kind == VocabAndMerges ? "<|endoftext|>" : "<|end|>";
        string[] alphabet = [.. Enumerable.Range(0, 256).Select(b => Symbol((byte)b).ToString())];
        List<string> vocabulary = [end, .. alphabet];
        List<(string, string)> merges = Learn([.. Encoding.UTF8.GetBytes(Text).Select(b => alphabet[b])], vocabulary);

        // Two words that no merges make, which only a tokenizer takes that looks words up first.
        if (kind == Llama3)
            vocabulary.AddRange(["Ġzyx", "qqq"]);

        var ids = new JsonObject(vocabulary.Skip(1).Select((token, i) => KeyValuePair.Create(token, (JsonNode?)(i + 1))));
        if (kind == VocabAndMerges)
        {
            ids[end] = 0;
            File.WriteAllText(Path.Combine(folder, "vocab.json"), ids.ToJsonString());
            File.WriteAllLines(Path.Combine(folder, "merges.txt"), ["#version: 0.2", .. merges.Select(m => $"{m.Item1} {m.Item2}")]);
            File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), $$"""{"eos_token": "{{end}}", "bos_token": "{{end}}"}""");
            return vocabulary.Count;
        }

        JsonObject ByteLevel(bool split) =>
            new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = split };
        JsonObject Two(JsonObject first, bool split) =>
            new() { ["type"] = "Sequence", ["pretokenizers"] = new JsonArray(first, ByteLevel(split)) };
        JsonObject Regex(string pattern) =>
            new()
            {
                ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false,
            };
        var root = new JsonObject
        {
            // One that is control, one that text may spell, one in front of a text.
            ["added_tokens"] = new JsonArray(
                Added(0, end, true), Added(vocabulary.Count, turn, true), Added(vocabulary.Count + 1, "<extra>", false)),
            ["normalizer"] = kind == Qwen2 ? new JsonObject { ["type"] = "NFC" } : null,
            ["pre_tokenizer"] = kind switch
            {
                SmolLm => Two(new() { ["type"] = "Digits", ["individual_digits"] = true }, split: true),
                Llama3 or Llama3Merging => Two(Regex(Llama3Split), split: false),
                Qwen2 => Two(Regex(Llama3Split.Replace("{1,3}", "", StringComparison.Ordinal)), split: false),
                _ => ByteLevel(split: true),
            },
            ["post_processor"] = ByteLevel(split: true),
            ["decoder"] = ByteLevel(split: true),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE", ["ignore_merges"] = kind == Llama3, ["vocab"] = ids,
                ["merges"] = new JsonArray([.. merges.Select(m => (JsonNode)new JsonArray(m.Item1, m.Item2))]),
            },
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), root.ToJsonString());
        bool begins = kind is Llama3 or Llama3Merging;
        var config = new JsonObject { ["eos_token"] = end, ["bos_token"] = begins ? turn : end, ["add_bos_token"] = begins };
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config.ToJsonString());
        return vocabulary.Count + 2;
    }

    private static int WriteSentencePiece(string folder, bool spaceInFront)
    {
        const string unknown = "<unk>", begin = "<s>", end = "</s>";
        string text = "▁" + Text.Replace(' ', '▁');
        string[] characters = [.. text.EnumerateRunes().Select(r => r.ToString())];
        IEnumerable<string> bytes = Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>");

        // Some characters are bytes.
        List<string> vocabulary = [unknown, begin, end, .. bytes, .. characters.Except(["\n", "\t", "数"])];
        List<(string, string)> merges = Learn([.. characters], vocabulary, t => t.All(c => vocabulary.Contains(c.ToString())));
        HashSet<string> all = [.. vocabulary];

        // Sentencepiece merges whatever makes a piece: all ways to cut one in two, together.
        IEnumerable<string> cuts = from merge in merges
                                   let piece = merge.Item1 + merge.Item2
                                   from cut in Enumerable.Range(1, piece.Length - 1)
                                   where all.Contains(piece[..cut]) && all.Contains(piece[cut..])
                                   select $"{piece[..cut]} {piece[cut..]}";
        var root = new JsonObject
        {
            ["added_tokens"] = new JsonArray(Added(0, unknown, true), Added(1, begin, true), Added(2, end, true)),
            ["normalizer"] = JsonNode.Parse(!spaceInFront
                ? """{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"""
                : """
                    {"type": "Sequence", "normalizers": [
                        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
                    """),
            ["pre_tokenizer"] = spaceInFront ? null : JsonNode.Parse(
                """{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}"""),
            ["post_processor"] = JsonNode.Parse("""
                {"type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
                """),
            ["decoder"] = JsonNode.Parse("""
                {"type": "Sequence", "decoders": [
                    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}
                """ + (spaceInFront ? """, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}""" : "]}")),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE", ["unk_token"] = unknown, ["fuse_unk"] = true, ["byte_fallback"] = true,
                ["vocab"] = new JsonObject(vocabulary.Select((token, id) => KeyValuePair.Create(token, (JsonNode?)id))),
                ["merges"] = new JsonArray([.. cuts.Select(c => (JsonNode)c)]),
            },
        };
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), root.ToJsonString());
        var config = new JsonObject { ["eos_token"] = end, ["bos_token"] = begin, ["unk_token"] = unknown, ["add_bos_token"] = true };
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config.ToJsonString());
        return vocabulary.Count;
    }

    // The most frequent pair of neighbours becomes one, over and over, with no regard to words: what a split then forbids is merged
    // nonetheless where it does not cut.
    private static List<(string, string)> Learn(List<string> symbols, List<string> vocabulary, Func<string, bool>? allowed = null)
    {
        List<(string, string)> merges = [];
        while (merges.Count < Merges)
        {
            (string Left, string Right) best = symbols.Zip(symbols.Skip(1))
                .Where(p => !vocabulary.Contains(p.First + p.Second) && (allowed?.Invoke(p.First + p.Second) ?? true))
                .GroupBy(p => p).OrderByDescending(g => g.Count())
                .ThenBy(g => g.Key.First + g.Key.Second, StringComparer.Ordinal).First().Key;
            merges.Add(best);
            vocabulary.Add(best.Left + best.Right);
            for (int i = symbols.Count - 2; i >= 0; i--)
            {
                if (symbols[i] == best.Left && symbols[i + 1] == best.Right)
                {
                    symbols[i] += symbols[i + 1];
                    symbols.RemoveAt(i + 1);
                }
            }
        }

        return merges;
    }

    private static JsonObject Added(int id, string content, bool special) =>
        new()
        {
            ["id"] = id, ["content"] = content, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false,
            ["special"] = special,
        };

    // GPT-2's printable stand-ins for bytes.
    private static char Symbol(byte value)
    {
        static bool Printable(int b) => b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
        return Printable(value) ? (char)value : (char)(256 + Enumerable.Range(0, value).Count(b => !Printable(b)));
    }
}
