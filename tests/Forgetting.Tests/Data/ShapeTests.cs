using System.Globalization;
using System.Text;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Xunit;
using static Forgetting.Tests.Tokenizers.TestTokenizers;

namespace Forgetting.Tests.Data;

/// <summary>Records as other programs write them; every expectation is laid out by hand, what is learnt between brackets.</summary>
[Collection(CommandCollection.Name)]
public class ShapeTests
{
    private const string Alpaca = """{"instruction":"i","input":"n","output":"o"}""";

    [Theory]
    [InlineData("pairs", """{"prompt":"p","completion":"c"}""", "<s>p[ c</s>]")]
    [InlineData(
        "messages", """{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}""",
        "<s><|user|>\nu\n<|assistant|>\n[a</s>]")]
    [InlineData("alpaca", Alpaca, "<s>i\nn[ o</s>]")]
    [InlineData("alpaca", """{"instruction":"i","input":"","output":"o","text":"all of it"}""", "<s>i[ o</s>]")]
    [InlineData(
        "alpaca", """{"instruction":"i","output":"o","system":"s","history":[["q","r"]]}""",
        "<s><|system|>\ns\n<|user|>\nq\n<|assistant|>\n[r</s>]\n<|user|>\ni\n<|assistant|>\n[o</s>]")]
    [InlineData(
        "sharegpt", """{"system":"s","conversations":[{"from":"human","value":"u"},{"from":"gpt","value":"a"}]}""",
        "<s><|system|>\ns\n<|user|>\nu\n<|assistant|>\n[a</s>]")]
    [InlineData(
        "sharegpt",
        """{"conversations":[{"from":"human","value":"u"},{"from":"gpt","value":"a","weight":0},{"from":"human","value":"v"},"""
            + """{"from":"gpt","value":"b"}]}""",
        "<s><|user|>\nu\n<|assistant|>\na</s>\n<|user|>\nv\n<|assistant|>\n[b</s>]")]
    [InlineData(
        "sharegpt", """{"conversations":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}""",
        "<s><|user|>\nu\n<|assistant|>\n[a</s>]")]
    [InlineData(
        "conversational",
        """{"prompt":[{"role":"user","content":"u"},{"role":"assistant","content":"a"},"""
            + """{"role":"user","content":"v"}],"completion":[{"role":"assistant","content":"b"}]}""",
        "<s><|user|>\nu\n<|assistant|>\na</s>\n<|user|>\nv\n<|assistant|>\n[b</s>]")]
    [InlineData("text", """{"text":"all"}""", "<s>[all</s>]")]
    public void Records_of_every_shape_are_recognised_and_laid_out(string shape, string record, string expected)
    {
        foreach (DataShape given in new[] { DataShape.Auto, Enum.Parse<DataShape>(shape, ignoreCase: true) })
        {
            DataExample example = Assert.Single(Read(record, new DataFields { Shape = given }));
            Assert.Equal(shape, example.Shape.ToString(), ignoreCase: true);
            Assert.Equal(expected, Assert.Single(Encode(100, example)));
        }
    }

    // What is to be forgotten stands between braces.
    [Theory]
    [InlineData("""{"prompt":"p","chosen":"c","rejected":"r"}""", "<s>p[ c</s>]", "<s>p{ r</s>}")]
    [InlineData(
        """{"chosen":"q: is it? a: it is","rejected":"q: is it? a: it isn't"}""", "<s>q: is it? a: it [is</s>]",
        "<s>q: is it? a: it {isn't</s>}")]
    [InlineData("""{"instruction":"i","input":"n","chosen":"c","rejected":"r"}""", "<s>i\nn[ c</s>]", "<s>i\nn{ r</s>}")]
    [InlineData(
        """{"prompt":[{"role":"user","content":"u"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":"""
            + """[{"role":"assistant","content":"r"}]}""",
        "<s><|user|>\nu\n<|assistant|>\n[c</s>]", "<s><|user|>\nu\n<|assistant|>\n{r</s>}")]
    [InlineData(
        """{"prompt":"u","messages":[],"chosen":[{"role":"user","content":"u"},"""
            + """{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"u"},{"role":"assistant","content":"r"}]}""",
        "<s><|user|>\nu\n<|assistant|>\n[c</s>]", "<s><|user|>\nu\n<|assistant|>\n{r</s>}")]
    [InlineData(
        """{"conversations":[{"from":"human","value":"u"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}""",
        "<s><|user|>\nu\n<|assistant|>\n[c</s>]", "<s><|user|>\nu\n<|assistant|>\n{r</s>}")]
    [InlineData(
        """{"system":"s","prompt":"u","chosen":"c","rejected":"r"}""", "<s><|system|>\ns\n<|user|>\nu\n<|assistant|>\n[c</s>]",
        "<s><|system|>\ns\n<|user|>\nu\n<|assistant|>\n{r</s>}")]
    [InlineData(
        """{"chosen":[{"role":"user","content":"u"},{"role":"assistant","content":"a"},{"role":"user","content":"v"},"""
            + """{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"u"},{"role":"assistant","content":"a"},"""
            + """{"role":"user","content":"v"},{"role":"assistant","content":"r"}]}""",
        "<s><|user|>\nu\n<|assistant|>\na</s>\n<|user|>\nv\n<|assistant|>\n[c</s>]",
        "<s><|user|>\nu\n<|assistant|>\na</s>\n<|user|>\nv\n<|assistant|>\n{r</s>}")]
    public void Of_a_preference_the_chosen_answer_is_learnt_and_the_rejected_forgotten(string record, string chosen, string rejected)
    {
        foreach (DataShape given in new[] { DataShape.Auto, DataShape.Preference })
        {
            IReadOnlyList<DataExample> examples = Read(record, new DataFields { Shape = given });
            Assert.All(examples, e => Assert.Equal(DataShape.Preference, e.Shape));
            Assert.Equal([false, true], examples.Select(e => e.Rejected));
            Assert.Equal([chosen, rejected], Encode(200, [.. examples]));
        }

        // Where prompts are wanted there is one.
        Assert.Equal(1, Assert.Single(Read(record, new DataFields { PromptsOnly = true })).Sign);
    }

    [Theory]
    [InlineData("""{"prompt":"p","completion":"c","sign":-1}""", "<s>p{ c</s>}")]
    [InlineData("""{"prompt":"p","completion":"c","sign":"1"}""", "<s>p[ c</s>]")]
    [InlineData("""{"prompt":"p","completion":"c","label":false}""", "<s>p{ c</s>}")]
    [InlineData("""{"prompt":"p","completion":"c","sign":0}""")]
    [InlineData("""{"prompt":"p","chosen":"c","rejected":"c"}""")]
    [InlineData("""{"text":"all","sign":-1}""", "<s>{all</s>}")]
    [InlineData("""{"instruction":"i","output":"o","sign":-1}""", "<s>i{ o</s>}")]
    [InlineData(
        """{"sign":-1,"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a","sign":1},"""
            + """{"role":"user","content":"v"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c","sign":0}]}""",
        "<s><|user|>\nu\n<|assistant|>\n[a</s>]\n<|user|>\nv\n<|assistant|>\n{b</s>}\n<|assistant|>\nc</s>")]
    public void A_record_or_a_message_may_have_a_sign(string record, params string[] expected)
    {
        IReadOnlyList<DataExample> examples = Read(record, new DataFields());
        Assert.Equal(expected, examples.SelectMany(e => new ExampleEncoder(Bytes(), 200).EncodeEach(e)).Select(Marked));
        Assert.Equal(expected.Length == 0, examples.All(e => e.IsLeftOut));
    }

    // Weights of the response tokens: those of a record and a message multiply.
    [Theory]
    [InlineData("""{"prompt":"p","completion":"c","weight":0.5}""", 0.5, 0.5, 0.5)]
    [InlineData("""{"prompt":"p","completion":"c","weight":"2"}""", 2.0, 2.0, 2.0)]
    [InlineData("""{"prompt":"p","completion":"c","weight":1}""")]
    [InlineData("""{"text":"a","weight":0.25}""", 0.25, 0.25)]
    [InlineData(
        """{"weight":0.5,"messages":[{"role":"assistant","content":"a"},{"role":"assistant","content":"b","weight":0.5},"""
            + """{"role":"assistant","content":"c","weight":0}]}""",
        0.5, 0.5, 0.25, 0.25)]
    public void A_record_or_a_message_may_have_a_weight(string record, params double[] expected)
    {
        EncodedExample encoded = Assert.Single(new ExampleEncoder(Bytes(), 200).EncodeAll(Read(record, new DataFields())));
        Assert.Equal(expected, encoded.Weights?.Where((_, t) => encoded.Response[t]).Select(w => (double)w) ?? []);
        Assert.True(expected.Length == 0 || encoded.Weights!.Length == encoded.Length);
    }

    [Fact]
    public void A_line_of_weight_0_is_left_out() =>
        Assert.Empty(new ExampleEncoder(Bytes(), 200)
            .EncodeEach(Assert.Single(Read("""{"prompt":"p","completion":"c","weight":0}""", new DataFields()))));

    [Fact]
    public void A_text_longer_than_an_example_is_cut_into_several_and_loses_nothing()
    {
        IReadOnlyList<DataExample> examples = Read("""{"text":"abcdef"}""" + "\n" + """{"text":"g"}""", new DataFields());
        Assert.Equal(["<s>[abc]", "c[def]", "f[</s>]", "<s>[g</s>]"], Encode(4, [.. examples]));
        Assert.Equal([0, 1, 2, 3], new ExampleEncoder(Bytes(), 4).EncodeAll(examples).Select(e => e.Index));
    }

    [Fact]
    public void The_input_of_an_instruction_is_never_lost()
    {
        DataExample example = Assert.Single(Read(Alpaca, new DataFields { Prompt = "instruction", Completion = "output" }));
        Assert.Equal(("i\nn", "o"), (example.Prompt, example.Completion));
        Assert.Equal("i\nn", Assert.Single(Read("""{"instruction":"i","input":"n"}""", new DataFields { PromptsOnly = true })).Prompt);
    }

    [Theory]
    [InlineData(
        """{"instruction":"i"}""", "auto",
        "'output' is missing; expected 'prompt' with 'completion', 'messages', 'instruction' with 'output', 'conversations', "
        + "'chosen' with 'rejected', or 'text'")]
    [InlineData(
        """{"prompt":"p","completion":"c"}""", "alpaca",
        "'instruction' is missing; expected the fields of shape alpaca; the fields here are: prompt, completion")]
    [InlineData(
        """{"instruction":"i","output":"o","history":[["q"]]}""", "auto",
        "'history' is a list of another length; expected a question with its answer")]
    [InlineData("""{"prompt":[],"completion":[]}""", "auto", "'prompt' is empty; expected at least one message")]
    [InlineData("""{"text":""}""", "auto", "'text' is empty; expected a text to learn")]
    [InlineData("""{"text":"a","weight":-1}""", "auto", "'weight' is the number -1; expected a number from 0 (not trained on) to 1000")]
    [InlineData(
        """{"prompt":"p","completion":"c","sign":2}""", "auto",
        "'sign' is the number 2; expected -1 (forgotten), 0 (neither) or 1 (learnt)")]
    [InlineData(
        """{"prompt":"p","chosen":"c","rejected":"r","sign":1}""", "auto", "'sign' is given with 'chosen' and 'rejected'; expected none")]
    [InlineData(
        """{"messages":[{"role":"user","content":"u","sign":1}]}""", "auto",
        "'messages.sign' is 1 in a message of the user; expected one in an assistant's message only")]
    [InlineData("""{"prompt":"p","completion":"c","chosen":"c"}""", "auto", "'chosen' is not supported")]
    [InlineData("""{"conversations":[{"from":"human"}]}""", "auto", "'conversations.value' is missing")]
    public void What_does_not_fit_a_shape_is_named(string record, string shape, string expected) => Assert.Contains(
        ": line 1: " + expected,
        Assert.Throws<UserException>(() => Read(record, new DataFields { Shape = Enum.Parse<DataShape>(shape, ignoreCase: true) })).Message,
        StringComparison.Ordinal);

    [SharedDataFact]
    public void Commands_read_every_shape_and_name_it()
    {
        using TemporaryFolder folder = new();
        string data = folder.Write("d.jsonl", string.Join(
            '\n', Alpaca, """{"conversations":[{"from":"human","value":"u"},{"from":"gpt","value":"a"}]}""", """{"text":"all"}"""));
        CommandResult result =
            CommandResult.Of("loss", "--model", SharedData.Path("stories260K", "hf"), "--data", data, "--out", folder["o.jsonl"]);
        Assert.Equal(0, result.ExitCode);
        Assert.All(
            new[] { "alpaca", "sharegpt", "text" },
            shape => Assert.Contains($"1 of 3 examples are of shape {shape}", result.Error, StringComparison.Ordinal));
        Assert.Equal(3, File.ReadLines(folder["o.jsonl"]).Count());

        result = CommandResult.Of(
            "loss", "--model", SharedData.Path("stories260K", "hf"), "--data", data, "--shape", "text", "--out", folder["p.jsonl"]);
        Assert.Equal(
            (2, $"error: {data}: line 1: 'text' is missing; expected the fields of shape text; the fields here are: "
                + "instruction, input, output\n"),
            (result.ExitCode, result.Error));
    }

    private static IReadOnlyList<DataExample> Read(string lines, DataFields fields)
    {
        using TemporaryFolder folder = new();
        return DataSet.Read(folder.Write("d.jsonl", lines), fields);
    }

    private static string[] Encode(int length, params DataExample[] examples) =>
        [.. new ExampleEncoder(Bytes(), length).EncodeAll(examples).Select(Marked)];

    private static string Marked(EncodedExample e)
    {
        StringBuilder shown = new();
        for (int i = 0; i < e.Length; i++)
        {
            bool negative = e.Given?[i] < 0;
            shown.Append(e.Response[i] && !e.Response[i - 1] ? negative ? "{" : "[" : "");
            shown.Append(e.Ids[i] == Bos ? "<s>" : e.Ids[i] == Eos ? "</s>" : ((char)e.Ids[i]).ToString(CultureInfo.InvariantCulture));
            shown.Append(e.Response[i] && (i + 1 == e.Length || !e.Response[i + 1]) ? negative ? "}" : "]" : "");
        }

        return shown.ToString();
    }
}
