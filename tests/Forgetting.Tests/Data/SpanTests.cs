using System.Text.Json;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Data;

/// <summary>
/// Signs of stretches of an answer. A token is written <c>.</c> where it is not trained on, <c>-</c> where it is forgotten, <c>+</c> where
/// it is learnt and <c>?</c> where its score says.
/// </summary>
public class SpanTests
{
    private const string Ab = """{"start":1,"end":2,"sign":-1}""";

    private static IReadOnlyList<DataExample> Read(string lines, DataFields? fields = null)
    {
        using TemporaryFolder folder = new();
        return DataSet.Read(folder.Write("d.jsonl", lines), fields);
    }

    private static string Signs(EncodedExample e) =>
        string.Concat(e.Response.Select((r, t) => !r ? '.' : (e.Given?[t] ?? 0) switch { < 0 => '-', > 0 => '+', _ => '?' }));

    private static string Signs(string line, Tokenizer? tokenizer = null, MessageLayout? layout = null, bool paperMask = false) =>
        Signs(new ExampleEncoder(tokenizer ?? Bytes(), 200, layout: layout, paperMask: paperMask).Encode(Assert.Single(Read(line))));

    // <s>, the prompt, what joins it, the answer, </s>: a token a byte.
    [Theory]
    [InlineData("""{"prompt":"p","completion":"abc","spans":[SPAN]}""", "..??-??")]
    [InlineData("""{"prompt":"p","completion":"abc","sign":1,"spans":[SPAN]}""", "..++-++")]
    [InlineData("""{"prompt":"p","completion":"abc","sign":0,"spans":[SPAN]}""", "....-..")]
    [InlineData("""{"prompt":"p","completion":"abc","sign":-1,"spans":[{"start":1,"end":2,"sign":1}]}""", "..--+--")]
    [InlineData("""{"prompt":"p","completion":"abc","spans":[{"start":2,"end":3,"sign":0},SPAN]}""", "..??-.?")]
    [InlineData("""{"prompt":"p","completion":"abc","spans":[{"start":0,"end":3,"sign":-1}]}""", "..?---?")]
    [InlineData("""{"prompt":"p","completion":"abc","spans":[]}""", "..?????")]
    // Characters are code points: the first has four bytes, and the answer is that and two letters.
    [InlineData("""{"prompt":"p","completion":"\ud83d\ude00ab","spans":[SPAN]}""", "..?????-??")]
    [InlineData("""{"prompt":"p","completion":"a\ud83d\ude00b","spans":[SPAN]}""", "..??----??")]
    [InlineData("""{"text":"abc","spans":[SPAN]}""", ".?-??")]
    [InlineData("""{"instruction":"i","output":"abc","spans":[SPAN]}""", "..??-??")]
    public void A_stretch_of_an_answer_may_have_a_sign(string line, string expected) =>
        Assert.Equal(expected, string.Concat(
            new ExampleEncoder(Bytes(), 200)
                .EncodeEach(Assert.Single(Read(line.Replace("SPAN", Ab, StringComparison.Ordinal)))).Select(Signs)));

    // The layout trims contents; the answer is "abc" in all of them, behind 13 characters that name its role.
    [Theory]
    [InlineData("""{"messages":[{"role":"assistant","content":"  abc ","spans":[{"start":3,"end":4,"sign":-1}]}]}""", "?-??")]
    [InlineData("""{"messages":[{"role":"assistant","content":"  abc ","spans":[{"start":0,"end":3,"sign":-1}]}]}""", "-???")]
    [InlineData("""{"sign":1,"messages":[{"role":"assistant","content":"abc","spans":[SPAN]}]}""", "+-++")]
    [InlineData("""{"messages":[{"role":"assistant","content":"abc","sign":0,"spans":[SPAN]}]}""", ".-..")]
    [InlineData("""{"conversations":[{"from":"gpt","value":"abc","spans":[SPAN]}]}""", "?-??")]
    public void A_message_may_have_spans(string line, string expected) =>
        Assert.Equal(new string('.', 15) + expected, Signs(line.Replace("SPAN", Ab, StringComparison.Ordinal)));

    // The answer of a line may be the end of a conversation.
    [Theory]
    [InlineData("""{"instruction":"i","output":"abc","history":[["q","a"]],"spans":[SPAN]}""")]
    [InlineData("""{"prompt":[{"role":"user","content":"i"}],"completion":"abc","spans":[SPAN]}""")]
    [InlineData("""{"prompt":[{"role":"user","content":"i"}],"completion":[{"role":"assistant","content":"abc","spans":[SPAN]}]}""")]
    public void Spans_of_a_line_are_of_its_answer(string line) =>
        Assert.EndsWith("..?-??", Signs(line.Replace("SPAN", Ab, StringComparison.Ordinal)), StringComparison.Ordinal);

    // Ids 259 on: a space joins "a", "l" joins "o", and "e" joins the first byte of "é". White space before a word is a part of its token.
    [Theory]
    [InlineData("b a", 2, 3, -1, "..??-?")]
    [InlineData("b a", 1, 2, -1, "..??-?")]
    [InlineData("b a", 0, 1, -1, "..?-??")]
    [InlineData("elo", 1, 2, -1, "..??-?")]
    [InlineData("eé", 1, 2, -1, "..?--?")]
    [InlineData("eé", 0, 1, -1, "..?-??")]
    public void A_token_with_a_character_of_a_span_is_the_spans(string answer, int start, int end, int sign, string expected)
    {
        string line = JsonSerializer.Serialize(new { prompt = "p", completion = answer, spans = new[] { new { start, end, sign } } });
        Assert.Equal(expected, Signs(line, Bytes(["Ġ a", "l o", "e Ã"])));
    }

    [Theory]
    [InlineData(1, -1, '-')]
    [InlineData(-1, 1, '-')]
    [InlineData(0, -1, '-')]
    [InlineData(1, 0, '.')]
    [InlineData(0, 1, '.')]
    public void A_token_of_two_spans_has_the_lower_sign(int first, int second, char expected)
    {
        string line = $$"""
            {"prompt":"p","completion":"xlo","spans":[{"start":1,"end":2,"sign":{{first}}},{"start":2,"end":3,"sign":{{second}}}]}
            """;
        Assert.Equal($"..??{expected}?", Signs(line, Bytes(["l o"])));
    }

    // A token that the paper's mask leaves out stays out: " a" is one token, and "p " takes two.
    [Fact]
    public void The_papers_mask_goes_before_spans()
    {
        const string line = """{"prompt":"p ","completion":"a b","spans":[{"start":0,"end":1,"sign":-1}]}""";
        Assert.Equal("..-???", Signs(line, Bytes(["Ġ a"])));
        Assert.Equal("...???", Signs(line, Bytes(["Ġ a"]), paperMask: true));
    }

    [Fact]
    public void Windows_of_a_text_have_its_spans_and_those_without_anything_to_train_on_are_left_out()
    {
        DataExample example = Assert.Single(Read(
            """{"text":"abcdefgh","sign":0,"weight":2,"spans":[{"start":2,"end":4,"sign":-1},{"start":7,"end":8,"sign":1}]}"""));
        EncodedExample[] windows = [.. new ExampleEncoder(Bytes(), 3).EncodeAll([example])];
        Assert.Equal(["bcd", "fgh"], windows.Select(e => Bytes().Decode(e.Ids)));
        Assert.Equal([".--", "..+"], windows.Select(Signs));
        Assert.Equal(new float[] { 1, 2, 2 }, windows[0].Weights);
    }

    [Theory]
    [InlineData("{% for m in messages %}[{{ m.role }}]{{ m.content }}<|turn|>{% endfor %}")]
    [InlineData("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}<|turn|>{% endfor %}")]
    [InlineData(
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}think{{ m.content }}<|turn|>{% endgeneration %}"
        + "{% else %}{{ m.content }}{% endif %}{% endfor %}")]
    public void A_templates_text_has_them_where_it_writes_the_content(string template)
    {
        // The end of text that the data spells stays text, and is a part of the span.
        const string line =
            """{"messages":[{"role":"user","content":"b</s>"},{"role":"assistant","content":" ab</s>c ","spans":[{"start":2,"end":7,"""
            + """ "sign":-1}]},{"role":"assistant","content":"ab","sign":0,"spans":[SPAN]}]}""";
        var layout = MessageLayout.From(ChatTemplate.Parse(template, "t", new Dictionary<string, string>()));
        EncodedExample e = new ExampleEncoder(Bytes(), 200, layout: layout)
            .Encode(Assert.Single(Read(line.Replace("SPAN", Ab, StringComparison.Ordinal))));
        Assert.Equal("b</s>b", Bytes().Decode([.. e.Ids.Where((_, t) => e.Given?[t] < 0)]));
        Assert.True(e.Response[Array.IndexOf(e.Ids, Turn, Array.IndexOf(e.Ids, (int)'c'))]);
        Assert.False(e.Response[^1]);
    }

    [Fact]
    public void A_template_that_rewrites_the_content_is_refused()
    {
        var layout = MessageLayout.From(ChatTemplate.Parse(
            "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content | upper }}{% endgeneration %}"
            + "{% else %}{{ m.content }}{% endif %}{% endfor %}", "t", new Dictionary<string, string>()));
        string line = $$"""{"prompt":"p","completion":"abc","spans":[{{Ab}}]}""";
        Assert.EndsWith(
            "d.jsonl: line 1: message 2 has spans, but the template t does not write its content once and as it is; "
                + "expected a content that it does",
            Assert.Throws<UserException>(() => Signs(line, layout: layout)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1,"end":4,"sign":-1}]}""",
        "'spans' is a span from 1 to 4 of a text of 3 characters; expected 0 <= start < end <= 3")]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1,"end":1,"sign":-1}]}""",
        "'spans' is a span from 1 to 1 of a text of 3 characters; expected 0 <= start < end <= 3")]
    [InlineData(
        """{"prompt":"p","completion":"a\ud83d\ude00","spans":[{"start":-1,"end":1,"sign":-1}]}""",
        "'spans' is a span from -1 to 1 of a text of 2 characters; expected 0 <= start < end <= 2")]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1,"end":3,"sign":-1},{"start":0,"end":2,"sign":1}]}""",
        "'spans' is a span from 1 to 3 upon one from 0 to 2; expected spans of which none lies upon another")]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1,"end":3,"sign":-1},{"start":0,"end":1,"sign":1,"label":"x"}]}""",
        "'spans' is a list with the key 'label' in span 2; expected start, end and sign")]
    [InlineData("""{"prompt":"p","completion":"abc","spans":[{"start":1,"end":3}]}""", "'spans.sign' is missing")]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1.5,"end":3,"sign":1}]}""",
        "'spans.start' is the number 1.5; expected an integer")]
    [InlineData(
        """{"prompt":"p","completion":"abc","spans":[{"start":1,"end":3,"sign":2}]}""",
        "'spans.sign' is the number 2; expected -1 (forgotten), 0 (neither) or 1 (learnt)")]
    [InlineData("""{"prompt":"p","completion":"abc","spans":"b"}""", "'spans' is the string \"b\"; expected an array")]
    [InlineData(
        """{"prompt":"p","completion":"abc","weight":0,"spans":[SPAN]}""",
        "'spans' is given on a line of weight 0; expected spans in an answer that is trained on")]
    [InlineData(
        """{"messages":[{"role":"user","content":"abc","spans":[SPAN]}]}""",
        "'messages.spans' is given in a message of the user; expected spans in an assistant's message that is trained on")]
    [InlineData(
        """{"messages":[{"role":"assistant","content":"abc","weight":0,"spans":[SPAN]}]}""",
        "'messages.spans' is given in a message of weight 0; expected spans in an assistant's message that is trained on")]
    [InlineData(
        """{"messages":[{"role":"assistant","content":"abc"}],"spans":[SPAN]}""",
        "'spans' is given beside messages; expected spans in the message of whose content they are")]
    [InlineData(
        """{"prompt":"p","chosen":"abc","rejected":"d","spans":[SPAN]}""",
        "'spans' is given with 'chosen' and 'rejected'; expected spans in their messages")]
    [InlineData(
        """{"prompt":[{"role":"assistant","content":"abc","spans":[SPAN]}],"completion":"d"}""",
        "'prompt' is a conversation with signs or spans; expected these in the completion: nothing of the prompt is learnt")]
    public void What_cannot_be_meant_is_refused_by_name(string line, string expected) => Assert.EndsWith(
        "d.jsonl: line 1: " + expected,
        Assert.Throws<UserException>(() => Read(line.Replace("SPAN", Ab, StringComparison.Ordinal))).Message, StringComparison.Ordinal);

    // The bytes of the tokens say where they stand in the text.
    [SharedDataTheory]
    [InlineData("stories260K/hf", "</s>")]
    [InlineData("tokenizers/tiny-llama3-style", "!")]
    public void Tokens_of_spans_are_those_whose_bytes_lie_in_them(string folder, string end)
    {
        using TemporaryFolder copy = new();
        copy.Write("tokenizer.json", File.ReadAllText(SharedData.Path([.. folder.Split('/'), "tokenizer.json"])));
        copy.Write("tokenizer_config.json", $$"""{"eos_token":"{{end}}"}""");
        Tokenizer tokenizer = Tokenizer.Load(copy.Path);
        var random = new Random(7);
        string[] words = ["Once", " upon", " a", " time", ",", " 1234", "  ", "\n", "é", "日本", "😀", "'s", " Lily", " wasn't", "x"];
        var encoder = new ExampleEncoder(tokenizer, 400);
        for (int trial = 0; trial < 200; trial++)
        {
            string answer = "A" + string.Concat(Enumerable.Range(0, 12).Select(_ => words[random.Next(words.Length)]));
            int length = answer.EnumerateRunes().Count(), middle = random.Next(1, length), last = random.Next(middle, length) + 1;
            (int Start, int End, int Sign)[] spans = [(random.Next(middle), middle, -1), (middle, last, random.Next(2))];
            EncodedExample e = encoder.Encode(new TrainingExample("Q", answer) { Spans = spans }.ToData(0));

            // From the last token before the end of the text backwards: at is the byte of the answer at which a token begins.
            int[] edges = [.. spans.SelectMany(s => (int[])[Utf8(answer, s.Start), Utf8(answer, s.End)])];
            int at = Utf8(answer, length);
            for (int t = e.Length - 2; at > 0; t--)
            {
                int behind = at;
                at -= tokenizer.BytesOf(e.Ids[t]).Length;
                bool negative = at < edges[1] && behind > edges[0], other = at < edges[3] && behind > edges[2];
                Assert.Equal(negative ? '-' : !other ? '?' : spans[1].Sign == 0 ? '.' : '+', Signs(e)[t]);
            }
        }

        static int Utf8(string text, int characters) => text.EnumerateRunes().Take(characters).Sum(rune => rune.Utf8SequenceLength);
    }

    [Fact]
    public void A_callers_spans_are_put_in_order_checked_and_written_as_data()
    {
        var example = new TrainingExample("p", "abc") { Spans = [(2, 3, 1), (0, 1, -1)] };
        Assert.Equal("..?-?+?", Signs(new ExampleEncoder(Bytes(), 200).Encode(example.ToData(0))));
        using TemporaryFolder folder = new();
        TrainingExample[] both = [example, new([new ChatMessage("assistant", "abc") { Spans = [(1, 2, -1)] }])];
        TrainingExample.WriteFile(folder["d.jsonl"], both);
        Assert.Equal(
            both.Select((e, i) => Signs(new ExampleEncoder(Bytes(), 200).Encode(e.ToData(i)))),
            DataSet.Read(folder["d.jsonl"]).Select(e => Signs(new ExampleEncoder(Bytes(), 200).Encode(e))));
        Assert.Equal(
            "example 4: has a span from 2 to 4 of a text of 3 characters; expected 0 <= start < end <= 3",
            Assert.Throws<UserException>(() => new TrainingExample("p", "abc") { Spans = [(2, 4, 1)] }.ToData(4)).Message);
        Assert.Equal(
            "example 4: has a span of sign 3; expected -1 (forgotten), 0 (neither) or 1 (learnt)",
            Assert.Throws<UserException>(() => new TrainingExample([new("assistant", "abc") { Spans = [(2, 3, 3)] }]).ToData(4)).Message);
    }

    // A token that the layout writes itself is taken out of the data, and what is counted behind it moves with the text.
    [Fact]
    public void Spans_move_with_a_text_of_which_the_beginning_is_taken_out()
    {
        DataExample example = Assert.Single(Read(
            """{"text":"<s>abc</s>","spans":[{"start":0,"end":4,"sign":-1},{"start":5,"end":10,"sign":0}]}"""));
        EncodedExample e = Assert.Single(new ExampleEncoder(Bytes(), 200, allowSpecial: true).EncodeEach(example));
        Assert.Equal([Bos, 'a', 'b', 'c', Eos], e.Ids);
        Assert.Equal(".-?.?", Signs(e));
    }

    [SharedDataFact]
    public void The_data_command_shows_them()
    {
        using TemporaryFolder folder = new();
        string data = folder.Write("d.jsonl", """{"prompt":"p","completion":"one two three","spans":[{"start":4,"end":7,"sign":-1}]}""");
        CommandResult result = CommandResult.Of("data", data);
        Assert.Contains("p ⟦one ⟧⟪two⟫⟦ three⟧", result.Output, StringComparison.Ordinal);
        result = CommandResult.Of("data", data, "--model", SharedData.Path("stories260K", "hf"));
        Assert.Contains("p⟦ one⟧⟪ two⟫⟦ three</s>⟧", result.Output, StringComparison.Ordinal);
        Assert.Contains("given to be forgotten", result.Output, StringComparison.Ordinal);
    }
}
