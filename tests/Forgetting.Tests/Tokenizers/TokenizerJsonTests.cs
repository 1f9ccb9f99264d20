using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>The parts of a tokenizer.json one by one, on a vocabulary small enough to work out by hand, and damaged files.</summary>
public class TokenizerJsonTests
{
    private const string Small = """
        {
          "added_tokens": [{"id": 8, "content": "<t>", "special": true}, {"id": 11, "content": "<U>"}],
          "normalizer": null,
          "pre_tokenizer": null,
          "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<t>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<t>": {"ids": [8]}}},
          "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
          "model": {"type": "BPE", "unk_token": "<unk>", "merges": ["a b", ["ab", "c"], "▁ a"],
            "byte_fallback": false, "fuse_unk": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "c": 2, "▁": 3, "ab": 4, "abc": 5, "▁a": 6, "<unk>": 7, "<0xC3>": 9, "<0xA9>": 10, "cab": 12}}
        }
        """;

    private static Tokenizer With(string path, string value, string? config = null)
    {
        JsonObject root = JsonNode.Parse(Small)!.AsObject();
        string[] keys = path.Split('.', StringSplitOptions.RemoveEmptyEntries);
        JsonNode node = root;
        foreach (string key in keys.SkipLast(1))
        {
            node = node[key]!;
        }

        if (keys.Length > 0)
            node[keys[^1]] = JsonNode.Parse(value);

        return TestTokenizers.Load(root, config);
    }

    [Theory]
    [InlineData("", "", "abca", "5 0")]
    [InlineData("", "", "▁abab", "3 4 4")]
    [InlineData("", "", "▁ac", "6 2")]
    [InlineData("", "", "cab", "2 4")]
    [InlineData("model.ignore_merges", "true", "cab", "12")]
    [InlineData("", "", "aéxb", "0 7 7 1")]
    [InlineData("model.fuse_unk", "true", "aéxb", "0 7 1")]
    [InlineData("model.byte_fallback", "true", "aéxb", "0 9 10 7 1")]
    [InlineData("model.unk_token", "null", "axb", "4")]
    [InlineData("", "", "a<t>b", "0 7 7 7 1")]
    [InlineData("", "", "a<U>b", "0 11 1")]
    [InlineData("normalizer", """{"type": "Lowercase"}""", "A<u>BC<U>", "0 11 1 2 11")]
    [InlineData("normalizer", """{"type": "Prepend", "prepend": "▁"}""", "ac", "6 2")]
    [InlineData(
        "normalizer",
        """{"type": "Sequence", "normalizers": [{"type": "Strip"}, {"type": "Replace", "pattern": {"Regex": " +"}, "content": "▁"}]}""",
        " b  ac ", "1 6 2")]
    [InlineData("pre_tokenizer", """{"type": "Split", "pattern": {"String": "b"}, "behavior": "Isolated"}""", "abc", "0 1 2")]
    public void Encodes_by_its_parts(string path, string value, string text, string ids) =>
        Assert.Equal(ids, string.Join(' ', With(path, value).Encode(text, bos: false)));

    [Fact]
    public void What_goes_in_front_is_the_post_processors_unless_the_configuration_says_otherwise()
    {
        Assert.Equal([8, 0], With("", "").Encode("a"));
        Assert.Equal([0], With("", "").Encode("a", bos: false));
        Assert.Equal([0], With("", "", """{"add_bos_token": false}""").Encode("a"));
        Assert.Equal([11, 0], With("", "", """{"add_bos_token": true, "bos_token": "<U>"}""").Encode("a"));
        Assert.Equal([0], With("post_processor", "null").Encode("a"));
    }

    [Fact]
    public void Special_tokens_are_encoded_only_where_allowed_and_decoded_only_where_wanted()
    {
        Tokenizer tokenizer = With("", "", """{"eos_token": {"content": "<t>"}, "pad_token": "<U>"}""");
        Assert.Equal((8, 11, 13), (tokenizer.EosIds[0], tokenizer.PadId, tokenizer.VocabularySize));
        Assert.Equal([0, 8, 1], tokenizer.Encode("a<t>b", bos: false, allowSpecial: true));
        Assert.Equal("ab", tokenizer.Decode([0, 8, 1]));
        Assert.Equal("a<t>b", tokenizer.Decode([0, 8, 1], skipSpecial: false));
        Assert.Equal("a é<U>", tokenizer.Decode([0, 3, 9, 10, 11, 999]));
    }

    [Theory]
    [InlineData(
        """{"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated"}""", "the-final--countdown", "the|-|final|-|-|countdown")]
    [InlineData("""{"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed"}""", "the-final--countdown", "the|final|countdown")]
    [InlineData(
        """{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious"}""", "the-final--countdown",
        "the-|final-|-|countdown")]
    [InlineData(
        """{"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithNext"}""", "the-final--countdown",
        "the|-final|-|-countdown")]
    [InlineData(
        """{"type": "Split", "pattern": {"String": "-"}, "behavior": "Contiguous"}""", "the-final--countdown", "the|-|final|--|countdown")]
    [InlineData("""{"type": "Split", "pattern": {"Regex": "\\p{L}+"}, "behavior": "Removed", "invert": true}""", "𝒜b 1é", "𝒜b|é")]
    [InlineData("""{"type": "Digits", "individual_digits": true}""", "a1٣b", "a|1|٣|b")]
    [InlineData("""{"type": "Digits", "individual_digits": false}""", "a1٣b", "a|1٣|b")]
    [InlineData("""{"type": "Whitespace"}""", "Hi, you!", "Hi|,|you|!")]
    [InlineData("""{"type": "WhitespaceSplit"}""", "Hi, you!", "Hi,|you!")]
    [InlineData("""{"type": "Punctuation"}""", "Hi, you!", "Hi|,| you|!")]
    [InlineData("""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}""", "Hey you  all", "▁Hey|▁you|▁|▁all")]
    [InlineData("""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false}""", "Hey you", "Hey▁you")]
    [InlineData("""{"type": "ByteLevel", "add_prefix_space": true}""", "Hi you", " Hi| you")]
    [InlineData(
        """{"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": false}]}""", "it's 12 x",
        "it|'s| |12| x")]
    public void Pre_tokenizers_cut_as_documented(string json, string text, string expected)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        List<Segment> pieces = [];
        PreTokenizers.Read(new JsonView(document.RootElement, "t", ""), out _)(new Segment(text, 0, text.Length, First: true), pieces);
        Assert.Equal(expected, string.Join('|', pieces.Select(p => p.Span.ToString())));
    }

    [Theory]
    [InlineData("a <x> b", false, false, false, "a |<x>| b")]
    [InlineData("a <x> b", true, false, false, "a|<x>| b")]
    [InlineData("a <x>  b", false, true, false, "a |<x>|b")]
    [InlineData("a<x> <x> _<x>", false, false, true, "a<x> |<x>| _<x>")]
    [InlineData("<x><xx><x", false, false, false, "<x>|<xx>|<x")]
    public void Added_tokens_take_white_space_and_respect_words(string text, bool left, bool right, bool word, string expected)
    {
        AddedToken token = new(1, "<x>") { StripLeft = left, StripRight = right, SingleWord = word };
        List<(int Start, int Length, AddedToken? Token)> parts = [];
        new AddedTokens([(token.Content, token), ("<xx>", new AddedToken(2, "<xx>"))]).Split(text, parts);
        Assert.Equal(expected, string.Join('|', parts.Select(p => p.Token?.Content ?? text.Substring(p.Start, p.Length))));
    }

    [Theory]
    [InlineData("model.type", "\"Unigram\"", "'model.type' is the string \"Unigram\"; expected BPE, the only supported kind of tokenizer")]
    [InlineData("model.vocab", "{}", "'model.vocab' is empty; expected tokens and their ids")]
    [InlineData("model.vocab", "[]", "'model.vocab' is an array; expected an object")]
    [InlineData("model.vocab", """{"a": -1}""", "'model.vocab' is the number -1; expected an id from 0 to 4194303")]
    [InlineData("model.merges", "[\"a x\"]", "merge 1 needs the token \"x\", which is not in the vocabulary")]
    [InlineData("model.merges", "[\"a b\", \"ab\"]", "merge 2 has 1 parts; expected 2 tokens")]
    [InlineData("model.merges", "null", "'model.merges' is missing")]
    [InlineData("model.dropout", "0.1", "'model.dropout' is the number 0.1; expected null: random merges are not supported")]
    [InlineData(
        "model.end_of_word_suffix", "\"w\"",
        "'model.end_of_word_suffix' is the string \"w\"; expected null: word affixes are not supported")]
    [InlineData(
        "pre_tokenizer", """{"type": "BertPreTokenizer"}""",
        "'pre_tokenizer.type' is the string \"BertPreTokenizer\"; expected a supported pre-tokenizer")]
    [InlineData("pre_tokenizer", """{"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}""", "expression not supported: ")]
    [InlineData(
        "normalizer", """{"type": "Precompiled"}""", "'normalizer.type' is the string \"Precompiled\"; expected a supported normalizer")]
    [InlineData("decoder", """{"type": "WordPiece"}""", "'decoder.type' is the string \"WordPiece\"; expected a supported decoder")]
    public void What_is_wrong_is_named(string path, string value, string message)
    {
        UserException error = Assert.Throws<UserException>(() => With(path, value));
        Assert.Contains("tokenizer.json: " + message, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_folder_without_tokenizer_is_named()
    {
        using TemporaryFolder folder = new();
        UserException error = Assert.Throws<UserException>(() => Tokenizer.Load(folder.Path));
        Assert.StartsWith($"{folder.Path}: no tokenizer; expected tokenizer.json, ", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Damaged text and values of the wrong kind in every place: a clear error or a tokenizer that works.</summary>
    [Fact]
    public void Damaged_files_end_in_an_error_or_load()
    {
        string[] values = ["null", "-1", "7", "1e99", "true", "\"\"", "\"a\"", "\"ByteLevel\"", "\"\\ud800\"", "[]", "[[]]", "{}",
            "{\"type\":\"Sequence\"}", "{\"type\":\"ByteLevel\"}", "4194303"];
        using TemporaryFolder folder = new();
        int loaded = 0, failed = 0;
        for (int seed = 0; seed < 1000; seed++)
        {
            Random random = new(seed);
            string json = seed % 2 == 0 ? DamageText(Small, random) : DamageValue(Small, values[random.Next(values.Length)], random);
            folder.Write("tokenizer.json", json);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                Tokenizer tokenizer = Tokenizer.Load(folder.Path);
                tokenizer.Decode(tokenizer.Encode("▁abc <t> é\uD800𝒜 12", allowSpecial: true));
                loaded++;
            }
            catch (UserException e)
            {
                Assert.DoesNotContain('\n', e.Message);
                failed++;
            }

            // Ids just below the most that are read cost tables of that length.
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < 256L << 20, $"case {seed} allocated {allocated} bytes");
        }

        Assert.True(loaded > 60 && failed > 60, $"{loaded} loaded, {failed} failed: the damage is too weak or too strong to tell anything");
    }

    private static string DamageText(string json, Random random)
    {
        int at = random.Next(json.Length), length = random.Next(1, 12);
        string with = random.Next(3) switch
        {
            0 => "",
            1 => ((char)random.Next(32, 127)).ToString(),
            _ => json.Substring(
            random.Next(json.Length / 2), length)
        };
        return json[..at] + with + json[Math.Min(json.Length, at + random.Next(0, length))..];
    }

    private static string DamageValue(string json, string value, Random random)
    {
        JsonNode root = JsonNode.Parse(json)!;
        List<(JsonNode Parent, string Key, int Index)> places = [];
        Collect(root);
        (JsonNode parent, string key, int index) = places[random.Next(places.Count)];

        // A placeholder, since a lone surrogate cannot be put into a node.
        const string placeholder = "@@";
        if (parent is JsonArray array)
        {
            array[index] = placeholder;
        }
        else
        {
            parent[key] = placeholder;
        }

        return root.ToJsonString().Replace($"\"{placeholder}\"", value, StringComparison.Ordinal);

        void Collect(JsonNode? node)
        {
            if (node is JsonObject map)
            {
                foreach ((string name, JsonNode? child) in map)
                {
                    places.Add((map, name, 0));
                    Collect(child);
                }
            }
            else if (node is JsonArray list)
            {
                for (int i = 0; i < list.Count; i++)
                {
                    places.Add((list, "", i));
                    Collect(list[i]);
                }
            }
        }
    }
}
