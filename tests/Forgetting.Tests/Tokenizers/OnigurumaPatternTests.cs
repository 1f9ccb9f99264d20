using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Core;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// Expressions and splits as Hugging Face's tokenizers (0.22, with its own Oniguruma, through the package Tokenizers.DotNet 1.4.1)
/// have them: it wrote both golden files.
/// </summary>
public class OnigurumaPatternTests
{
    /// <summary>What is left of one text when the matches of a pattern are removed.</summary>
    [Fact]
    public void Expressions_match_what_Oniguruma_matches()
    {
        using JsonDocument golden = Golden("oniguruma.json");
        string text = golden.RootElement.GetProperty("text").GetString()!;
        Assert.InRange(golden.RootElement.GetProperty("cases").GetArrayLength(), 70, 1000);
        foreach (JsonElement item in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            string pattern = item.GetProperty("pattern").GetString()!;
            string rest = TextPattern.Expression(pattern, "test").Replace(text, "");
            Assert.Equal($"{pattern} {item.GetProperty("rest").GetString()}", $"{pattern} {rest}");
        }
    }

    /// <summary>
    /// Where pieces begin and end, seen by a tokenizer that merges whatever stands in one piece of up to three characters.
    /// </summary>
    [Fact]
    public void Splits_cut_where_Hugging_Face_cuts_empty_matches_included()
    {
        using JsonDocument golden = Golden("splits.json");
        Assert.InRange(golden.RootElement.GetArrayLength(), 200, 1000);
        foreach (IGrouping<(string, string, bool), JsonElement> split in golden.RootElement.EnumerateArray()
            .GroupBy(i => (i[0].GetString()!, i[1].GetString()!, i[2].GetBoolean())))
        {
            Tokenizer tokenizer = Merging(split.Key.Item1, split.Key.Item2, split.Key.Item3);
            foreach (JsonElement item in split)
            {
                string[] expected = [.. item[4].EnumerateArray().Select(t => t.GetString()!)];
                int[] ids = tokenizer.Encode(item[3].GetString()!);
                Assert.Equal(
                    $"{split.Key} {item[3]} {string.Join('|', expected)}",
                    $"{split.Key} {item[3]} {string.Join('|', ids.SelectMany(id => tokenizer.TextsOf([id])))}");
            }
        }
    }

    [Theory]
    [InlineData(@"(a)\1", "\\1 at character 4")]
    [InlineData(@"\k<a>", "\\k at character 1")]
    [InlineData(@"\X", "\\X at character 1")]
    [InlineData(@"a\G", "\\G at character 2")]
    [InlineData("(?~a)", "this kind of group at character 1")]
    [InlineData("(*FAIL)", "a callout at character 1")]
    [InlineData("[[:foo:]]", "the bracket \"[:foo:]\" at character 2")]
    [InlineData(@"\p{Emoji}", "the property \"Emoji\" at character 1")]
    [InlineData(@"\pL", "a property without braces at character 1")]
    [InlineData("(?i:ss)", "letters without case that one character can stand for at character 5")]
    [InlineData("(?i:É)", "characters outside ASCII without case at character 5")]
    [InlineData("(a", "a group without its closing parenthesis at character 1")]
    [InlineData("a)", "a closing parenthesis without its group at character 2")]
    [InlineData("[a", "a class without its closing bracket at character 1")]
    [InlineData("*a", "nothing to repeat at character 1")]
    [InlineData("[z-a]", "a range that is empty or ends in a class at character 4")]
    [InlineData("a{2000}", "more than 1000 repeats, or more at least than at most at character 2")]
    public void What_has_no_counterpart_is_refused_by_name(string pattern, string expected) => Assert.Contains(
        $"expression not supported: {expected} of \"", Assert.Throws<UserException>(() => TextPattern.Expression(pattern, "test")).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Patterns_without_measure_are_refused()
    {
        string[] patterns = [new string('(', 50_000), new string('[', 50_000), new string('a', 200_000),
            string.Concat(Enumerable.Range(0x4E00, 2000).Select(c => (char)c))];
        Assert.All(patterns, pattern => Assert.Throws<UserException>(() => TextPattern.Expression(pattern, "test")));
    }

    /// <summary>
    /// .NET's hash of a 64-bit key is its halves xored: one bucket for all pairs of equal tokens, and for
    /// all sums of the kind (n, n + 1) few.
    /// </summary>
    [Fact]
    public void Pairs_of_tokens_have_hashes_of_their_own()
    {
        IEnumerable<TokenPair> pairs = Enumerable.Range(0, 20_000)
            .SelectMany(n => new TokenPair[] { new(n, n), new(n, n ^ 1), new(n ^ 2, n), new(17, n), new(n, 17) })
            .Distinct();
        Assert.InRange(pairs.Select(p => p.GetHashCode()).Distinct().Count(), 99_000, 100_000);
    }

    private static Tokenizer Merging(string pattern, string behavior, bool invert)
    {
        JsonObject vocabulary = [];
        for (int value = 0; value < 256; value++)
        {
            vocabulary[ByteLevelAlphabet.CharacterOf((byte)value).ToString()] = value;
        }

        JsonArray merges = [];
        string alphabet = ByteLevelAlphabet.Write(Encoding.UTF8.GetBytes("ab1 "));
        string[] words = [.. alphabet.Select(c => c.ToString())];
        for (int length = 2; length <= 3; length++)
        {
            words = [.. words.SelectMany(word => alphabet.Select(c => word + c))];
            foreach (string word in words)
            {
                vocabulary[word] = vocabulary.Count;
                merges.Add(new JsonArray(word[..^1], word[^1..]));
            }
        }

        return TestTokenizers.Load(new JsonObject
        {
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = pattern },
                        ["behavior"] = behavior,
                        ["invert"] = invert,
                    },
                    new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = false }),
            },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = merges },
        });
    }

    private static JsonDocument Golden(string name) =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Tokenizers", "golden", name)));
}
