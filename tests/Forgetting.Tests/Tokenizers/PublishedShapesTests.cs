using System.Text;
using System.Text.Json.Nodes;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// <c>tokenizer.json</c> in the shapes in which the models' publishers ship it, with the patterns and settings of their files around a
/// vocabulary of a few hundred tokens, against <see cref="SlowEncoder"/>.
/// </summary>
public class PublishedShapesTests
{
    private const int FirstAdded = 1000;

    // Of their files, as JSON writes them.
    private const string Llama3Split =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        + @"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    private const string Qwen2Split =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        + @"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    private static readonly string[] s_words = ["Hello", " world", "don", " the", "123", "12", "...", " (", "\n\n", "  ", "你好", "مر", "é",
        "👍", "𝒜", "LL", "I'M", "'s", " a", "ing"];

    [Fact]
    public void Llama3()
    {
        (JsonObject model, SlowEncoder slow) = ByteLevelModel(s_words, asPairs: true);
        model["ignore_merges"] = true;
        Tokenizer tokenizer = Load(
            model,
            normalizer: "null",
            preTokenizer: $$$"""
                {"type": "Sequence", "pretokenizers": [
                  {"type": "Split", "pattern": {"Regex": "{{{Llama3Split}}}"}, "behavior": "Isolated", "invert": false},
                  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
                """,
            postProcessor: """
                {"type": "Sequence", "processors": [
                  {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
                  {"type": "TemplateProcessing",
                   "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                   "pair": [
                     {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                   "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [1000], "tokens": ["<|begin_of_text|>"]}}}]}
                """,
            decoder: """{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}""",
            added: ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
            config: """
                {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": true,
                 "model_max_length": 131072}
                """);
        HardCaseTests.Compare(tokenizer, slow, (s, text) => s.ByteLevel(text, SlowEncoder.Llama3, wholeFirst: true));
        Assert.Equal([1000, .. tokenizer.Encode("Hello", bos: false)], tokenizer.Encode("Hello"));
        Assert.Equal(
            [1002, .. tokenizer.Encode("Hello", bos: false), 1003, .. tokenizer.Encode("\n\n", bos: false), 1004],
            tokenizer.Encode("<|start_header_id|>Hello<|end_header_id|>\n\n<|eot_id|>", bos: false, allowSpecial: true));
        Assert.Equal((1000, 1004), (tokenizer.BosId, tokenizer.EosIds[0]));
    }

    [Fact]
    public void Qwen2()
    {
        (JsonObject model, SlowEncoder slow) = ByteLevelModel(s_words, asPairs: false);
        Tokenizer tokenizer = Load(
            model,
            normalizer: """{"type": "NFC"}""",
            preTokenizer: $$$"""
                {"type": "Sequence", "pretokenizers": [
                  {"type": "Split", "pattern": {"Regex": "{{{Qwen2Split}}}"}, "behavior": "Isolated", "invert": false},
                  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]}
                """,
            postProcessor: """{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}""",
            decoder: """{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}""",
            added: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            config: """
                {"add_bos_token": false, "bos_token": null, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "errors": "replace",
                 "unk_token": null}
                """);
        HardCaseTests.Compare(
            tokenizer, slow, (s, text) => s.ByteLevel(text, SlowEncoder.Qwen2),
            text => UnicodeNormalization.Normalize(text, NormalizationForm.FormC));
        Assert.Equal(tokenizer.Encode("Hello", bos: false), tokenizer.Encode("Hello"));
        Assert.Equal((null, 1002, 1000), (tokenizer.BosId, tokenizer.EosIds[0], tokenizer.PadId));
    }

    /// <summary>GPT-2 and GPT-Neo.</summary>
    [Fact]
    public void GptNeo()
    {
        (JsonObject model, SlowEncoder slow) = ByteLevelModel(s_words, asPairs: false);
        Tokenizer tokenizer = Load(
            model,
            normalizer: "null",
            preTokenizer: """{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}""",
            postProcessor: """{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false}""",
            decoder: """{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}""",
            added: ["<|endoftext|>"],
            config: """
                {"errors": "replace", "add_prefix_space": false,
                 "unk_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
                 "bos_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
                 "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>"}}
                """);
        HardCaseTests.Compare(tokenizer, slow, (s, text) => s.ByteLevel(text, SlowEncoder.Gpt2));
        Assert.Equal(tokenizer.Encode("Hello", bos: false), tokenizer.Encode("Hello"));
        Assert.Equal((1000, 1000), (tokenizer.BosId, tokenizer.EosIds[0]));
    }

    [Fact]
    public void SmolLm()
    {
        (JsonObject model, SlowEncoder slow) = ByteLevelModel(s_words, asPairs: false);
        Tokenizer tokenizer = Load(
            model,
            normalizer: "null",
            preTokenizer: """
                {"type": "Sequence", "pretokenizers": [
                  {"type": "Digits", "individual_digits": true},
                  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}
                """,
            postProcessor: "null",
            decoder: """{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}""",
            added: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            config: """
                {"add_prefix_space": false, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
                """);
        HardCaseTests.Compare(tokenizer, slow, (s, text) => [.. CutAtDigits(text).SelectMany(part => s.ByteLevel(part, SlowEncoder.Gpt2))]);
    }

    /// <summary>
    /// Llama 2 and TinyLlama: sentencepiece, in the older form (a normalizer writes the ▁) and in the newer (a pre-tokenizer does).
    /// </summary>
    [Theory]
    [InlineData(
        """
        {"type": "Sequence", "normalizers": [
          {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
        """,
        "null")]
    [InlineData("null", """{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}""")]
    public void Llama2(string normalizer, string preTokenizer)
    {
        List<string> pieces = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>")];
        string[] words = ["▁Hello", "▁world", "▁the", "▁", "▁▁", "▁▁▁", "don", "12", "...", "你好", "é", "ing", "مر", "▁a", "LL"];
        List<(string Left, string Right)> merges = MergesOf(words.Select(w => w.EnumerateRunes().Select(r => r.ToString())));
        pieces.AddRange(
            words.SelectMany(w => w.EnumerateRunes().Select(r => r.ToString())).Concat(merges.Select(m => m.Left + m.Right)).Distinct());
        Dictionary<string, int> vocabulary = pieces.Select((piece, id) => (piece, id)).ToDictionary(p => p.piece, p => p.id);
        JsonObject model = Model(vocabulary, merges, asPairs: false);
        model["unk_token"] = "<unk>";
        model["fuse_unk"] = true;
        model["byte_fallback"] = true;
        JsonArray added = [.. new[] { "<unk>", "<s>", "</s>" }.Select((token, id) => (JsonNode)AddedToken(id, token))];
        Tokenizer tokenizer = TestTokenizers.Load(
            Root(
                model,
                normalizer,
                preTokenizer,
                """
                {"type": "TemplateProcessing",
                 "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                 "pair": [
                   {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                 "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
                """,
                """
                {"type": "Sequence", "decoders": [
                  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
                """,
                added),
            """
            {"add_bos_token": true, "add_eos_token": false, "bos_token": "<s>", "eos_token": "</s>", "legacy": false, "pad_token": null,
             "unk_token": "<unk>"}
            """,
            HardTexts.All());

        // The newer form adds no ▁ to a text that begins with one, or with a space.
        IEnumerable<string> texts = preTokenizer == "null" ? HardTexts.All() : HardTexts.All().Where(t => t[0] is not ('▁' or ' '));
        var slow = new SlowEncoder(vocabulary, merges);
        HardCaseTests.Compare(tokenizer, slow, (s, text) => s.SentencePiece(text), texts: texts);
        Assert.Equal([1, .. slow.SentencePiece("Hello")], tokenizer.Encode("Hello"));
        Assert.Equal(2, tokenizer.EosIds[0]);
    }

    private static IEnumerable<string> CutAtDigits(string text)
    {
        var part = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!Rune.IsNumber(rune))
            {
                part.Append(rune);
                continue;
            }

            yield return part.ToString();
            yield return rune.ToString();
            part.Clear();
        }

        yield return part.ToString();
    }

    /// <summary>A vocabulary of all bytes and of the words, each of which is merged from its left end on.</summary>
    private static (JsonObject Model, SlowEncoder Slow) ByteLevelModel(string[] words, bool asPairs)
    {
        static string Character(byte value) => ByteLevelAlphabet.CharacterOf(value).ToString();
        List<(string Left, string Right)> merges = MergesOf(words.Select(w => Encoding.UTF8.GetBytes(w).Select(Character)));
        string[] pieces =
            [.. Enumerable.Range(0, 256).Select(b => Character((byte)b)).Concat(merges.Select(m => m.Left + m.Right)).Distinct()];
        Dictionary<string, int> vocabulary = pieces.Select((piece, id) => (piece, id)).ToDictionary(p => p.piece, p => p.id);

        // A whole that no merge leads to: what ignore_merges is about.
        vocabulary[string.Concat(Encoding.UTF8.GetBytes(" don").Select(Character))] = pieces.Length;
        return (Model(vocabulary, merges, asPairs), new SlowEncoder(vocabulary, merges));
    }

    private static List<(string Left, string Right)> MergesOf(IEnumerable<IEnumerable<string>> words)
    {
        List<(string, string)> merges = [];
        foreach (string[] symbols in words.Select(w => w.ToArray()))
        {
            string left = symbols[0];
            foreach (string right in symbols[1..])
            {
                if (!merges.Contains((left, right)))
                    merges.Add((left, right));

                left += right;
            }
        }

        return merges;
    }

    private static JsonObject Model(Dictionary<string, int> vocabulary, List<(string Left, string Right)> merges, bool asPairs) => new()
    {
        ["type"] = "BPE",
        ["dropout"] = null,
        ["unk_token"] = null,
        ["continuing_subword_prefix"] = asPairs ? null : "",
        ["end_of_word_suffix"] = asPairs ? null : "",
        ["fuse_unk"] = false,
        ["byte_fallback"] = false,
        ["vocab"] = new JsonObject(vocabulary.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value))),
        ["merges"] = new JsonArray([.. merges.Select(m => asPairs ? new JsonArray(m.Left, m.Right) : (JsonNode)$"{m.Left} {m.Right}")]),
    };

    private static JsonObject AddedToken(int id, string content) => new()
    {
        ["id"] = id, ["content"] = content, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false,
        ["special"] = true,
    };

    private static JsonObject Root(
        JsonObject model, string normalizer, string preTokenizer, string postProcessor, string decoder, JsonArray added) =>
        new()
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = added,
            ["normalizer"] = JsonNode.Parse(normalizer),
            ["pre_tokenizer"] = JsonNode.Parse(preTokenizer),
            ["post_processor"] = JsonNode.Parse(postProcessor),
            ["decoder"] = JsonNode.Parse(decoder),
            ["model"] = model,
        };

    private static Tokenizer Load(
        JsonObject model, string normalizer, string preTokenizer, string postProcessor, string decoder, string[] added, string config) =>
            TestTokenizers.Load(
                Root(
                    model, normalizer, preTokenizer, postProcessor, decoder,
                    [.. added.Select((token, i) => (JsonNode)AddedToken(FirstAdded + i, token))]),
                config,
                // The library numbers added tokens on from the vocabulary, whatever the file says.
                HardTexts.All().Where(text => !added.Any(token => text.Contains(token, StringComparison.Ordinal))));
}
