using System.Text;
using System.Text.Json.Nodes;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Data;

/// <summary>
/// A token is learnt if any of its characters lies behind the joint. Every expectation is counted by hand, or from the bytes of the tokens.
/// </summary>
public class BoundaryMaskTests
{
    // Ids 259 on: a space joins the next word, line feeds pair up, a tab joins too, and a letter joins the first byte of é.
    private static Tokenizer Merging() => Bytes(["Ġ a", "Ċ Ċ", "ĉ a", "e Ã", "l o"]);

    private static DataExample Pair(string prompt, string completion, string? separator = null) =>
        new() { Index = 0, Place = "d.jsonl: line 1", Prompt = prompt, Completion = completion, Separator = separator };

    private static int[] Learnt(EncodedExample example) => [.. example.Ids.Where((_, i) => example.Response[i])];

    [Theory]
    [InlineData("x ", "a", new[] { 259, Eos }, true)]
    [InlineData("x", " a", new[] { 259, Eos }, false)]
    [InlineData("x\n", "\na", new[] { 260, 'a', Eos }, true)]
    [InlineData("x\t", "a", new[] { 261, Eos }, true)]
    [InlineData("x", "\ta", new[] { 261, Eos }, false)]
    [InlineData("x\n", "a", new[] { 'a', Eos }, false)]
    [InlineData("", "a", new[] { 259, Eos }, false)]
    [InlineData("x ", "", new[] { Eos }, false)]
    public void A_token_that_holds_the_joint_is_learnt(string prompt, string completion, int[] learnt, bool straddles)
    {
        foreach (MessageLayout layout in new[] { MessageLayout.Tulu, MessageLayout.Plain })
        {
            var encoder = new ExampleEncoder(Merging(), 100, layout: layout);
            Assert.Equal(learnt, Learnt(encoder.Encode(Pair(prompt, completion))));
            Assert.Equal(straddles ? 1 : 0, encoder.Notices.Count);
        }

        // An empty message, unlike an empty prompt, is joined to nothing.
        if (prompt.Length > 0)
        {
            Assert.Equal(learnt, Learnt(new ExampleEncoder(Merging(), 100, layout: MessageLayout.Plain).Encode(
                new DataExample { Index = 0, Place = "d", Messages = [new("user", prompt), new("assistant", completion)] })));
        }
    }

    [Fact]
    public void Tokens_of_half_a_character_are_learnt_where_the_character_is()
    {
        // "e" and the first byte of "é" are one token, the second byte another: the completion begins with é, so both are learnt.
        Assert.Equal([262, 0xA9, Eos], Learnt(new ExampleEncoder(Merging(), 100).Encode(Pair("e", "é", separator: ""))));
        Assert.Equal(['x', Eos], Learnt(new ExampleEncoder(Merging(), 100).Encode(Pair("eé", "x", separator: ""))));

        // The halves of a surrogate pair, which only a caller of the library can part: the character is not in the prompt as a whole.
        Assert.Equal([.. Utf8("😀"), Eos], Learnt(new ExampleEncoder(Merging(), 100).Encode(Pair("x\uD83D", "\uDE00", separator: ""))));
    }

    [Fact]
    public void The_paper_s_rule_counts_the_tokens_of_the_prompt_alone()
    {
        var encoder = new ExampleEncoder(Merging(), 100, paperMask: true);
        Assert.Equal([Eos], Learnt(encoder.Encode(Pair("x ", "a"))));
        Assert.Equal([259, Eos], Learnt(encoder.Encode(Pair("x", "a"))));

        // "l" of the prompt and "o" of the answer are one token, and so is "l" alone.
        Assert.Equal(['z', Eos], Learnt(encoder.Encode(Pair("l", "oz", separator: ""))));
        Assert.Empty(encoder.Notices);
    }

    [Fact]
    public void Templates_learn_what_they_put_behind_a_space_and_end_before_what_follows()
    {
        ChatTemplate tagged = ChatTemplate.Parse(
            "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}{% endgeneration %}{{ '\\n' }}{% else "
                + "%}{{ m.content }}{% endif %}{% endfor %}",
            "t", new Dictionary<string, string>());
        ChatTemplate found = ChatTemplate.Parse(
            "{% for m in messages %}{{ m.role }}: {{ m.content }}<|turn|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
            "t", new Dictionary<string, string>());
        DataExample example = Pair("x", "a\n");
        Assert.Equal([259, 260], Learnt(new ExampleEncoder(Merging(), 100, layout: MessageLayout.From(tagged)).Encode(example)));
        Assert.Equal([259, '\n', Turn], Learnt(new ExampleEncoder(Merging(), 100, layout: MessageLayout.From(found)).Encode(example)));
    }

    [Fact]
    public void Begin_and_end_of_text_are_there_once_where_the_template_writes_them_too()
    {
        const string text =
            "{{ bos_token }}{% for m in messages %}{{ m.content }}<|turn|>{% endfor %}{% if add_generation_prompt %}{% endif %}";
        ChatTemplate template = ChatTemplate.Parse(text, "t", new Dictionary<string, string> { ["bos_token"] = "<s>" });
        foreach (string answer in new[] { "A", "A<|turn|>", "A</s>", "A</s> <|turn|>\n" })
        {
            EncodedExample example =
                new ExampleEncoder(Bytes(), 100, allowSpecial: true, MessageLayout.From(template)).Encode(Pair("<s> <s>x", answer));
            Assert.Equal([Bos, 'x', Turn, 'A', Turn], example.Ids.Where(id => id != ' '));
        }

        // A template without them, and a tokenizer that puts none in front: then they are the data's own.
        ChatTemplate bare =
            ChatTemplate.Parse("{% for m in messages %}[{{ m.content }}]{% endfor %}", "t", new Dictionary<string, string>());
        Assert.Equal(
            ['[', Bos, 'x', ']', '[', 'A', Eos, ']'],
            new ExampleEncoder(Bytes(), 100, allowSpecial: true, MessageLayout.From(bare)).Encode(Pair("<s>x", "A</s>")).Ids);
        Assert.Equal(
            [Bos, 'x', Eos],
            new ExampleEncoder(Bytes(bos: false), 100, allowSpecial: true).Encode(Pair("<s>", "x</s>", separator: "")).Ids);
        Assert.Equal([Bos, 'x', Eos], new ExampleEncoder(Bytes(), 100, allowSpecial: true).Encode(Pair("", "<s>x</s>", separator: "")).Ids);
        Assert.Equal(
            [Bos, 'x', Eos],
            new ExampleEncoder(Bytes(), 100, allowSpecial: true).Encode(Pair("", "x</s>", separator: "") with { Truncated = true }).Ids);
    }

    [Fact]
    public void Places_fall_among_tokens_where_their_bytes_say()
    {
        Random random = new(5);
        string[] parts = ["a", " ", "\n", "\t", "lo", "é", "e", "ee\u0301", "😀", "▁", "  ", "x"];
        Tokenizer[] tokenizers =
            [Merging(), .. SharedData.Folder is null ? Array.Empty<Tokenizer>() : [Tokenizer.Load(SharedData.Path("stories260K", "hf"))]];
        foreach (Tokenizer tokenizer in tokenizers)
        {
            for (int round = 0; round < 200; round++)
            {
                string text = string.Concat(Enumerable.Range(0, random.Next(1, 9)).Select(_ => parts[random.Next(parts.Length)]));
                int[] places = [.. Enumerable.Range(0, text.Length + 1)];
                List<int> ids = [];
                TokenCut[] cuts = tokenizer.Append(text, ids, first: true, allowSpecial: false, places);
                Assert.Equal(tokenizer.Encode(text, bos: false), ids);

                // Bytes up to the end of each token; sentencepiece's first space is none of the text's.
                int[] ends = [.. ids.Select(
                    (_, i) => ids.Take(i + 1).Sum(id => tokenizer.BytesOf(id).Length) - (tokenizers[0] == tokenizer ? 0 : 1))];
                foreach (int place in places)
                {
                    bool pair = place > 0 && place < text.Length && char.IsSurrogatePair(text[place - 1], text[place]);
                    int bytes = Encoding.UTF8.GetByteCount(text[..(pair ? place - 1 : place)]);
                    int before = bytes == 0 ? 0 : ends.Count(end => end <= Bytes(bytes));
                    Assert.Equal(
                        new TokenCut(before, before < ids.Count && bytes > 0 && Bytes(bytes) > (before == 0 ? 0 : ends[before - 1])),
                        cuts[place]);
                }

                // A written ▁ reads as a space, of two bytes less.
                int Bytes(int count) =>
                    tokenizers[0] == tokenizer ? count : count
                        - (2 * Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)[..count]).Count(c => c == '▁'));
            }
        }
    }

    [Theory]
    [InlineData("first")]
    [InlineData("always")]
    public void A_space_that_the_tokenizer_puts_in_front_belongs_to_what_follows(string scheme)
    {
        JsonObject vocabulary = new() { ["<unk>"] = 0, ["▁"] = 1, ["a"] = 2, ["▁a"] = 3, ["b"] = 4, ["</s>"] = 5 };
        Tokenizer tokenizer = Load(
            new JsonObject
            {
                ["added_tokens"] = new JsonArray(Special(0, "<unk>"), Special(5, "</s>")),
                ["pre_tokenizer"] = new JsonObject { ["type"] = "Metaspace", ["replacement"] = "▁", ["prepend_scheme"] = scheme },
                ["decoder"] = new JsonObject { ["type"] = "Metaspace", ["replacement"] = "▁" },
                ["model"] = new JsonObject
                {
                    ["type"] = "BPE",
                    ["unk_token"] = "<unk>",
                    ["fuse_unk"] = true,
                    ["vocab"] = vocabulary,
                    ["merges"] = new JsonArray("▁ a"),
                },
            },
            """{"eos_token": "</s>"}""");
        List<int> ids = [];
        Assert.Equal([new(0, false), new(1, false), new(2, false)], tokenizer.Append("ab", ids, first: true, allowSpecial: false, 0, 1, 2));
        Assert.Equal([3, 4], ids);

        // "▁" and "b" are two tokens, and neither lies before the text's beginning.
        Assert.Equal([new(0, false), new(2, false)], tokenizer.Append("b", [], first: true, allowSpecial: false, 0, 1));

        // Unknown characters that become one token are on both sides of what lies between them.
        Assert.Equal([new(1, false), new(1, true), new(2, false)], tokenizer.Append("a☃☃", [], first: true, allowSpecial: false, 1, 2, 3));
        Assert.Equal([0, 5], Learnt(new ExampleEncoder(tokenizer, 9).Encode(Pair("a☃", "☃", separator: ""))));
    }
}
