using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Text;
using Xunit;

namespace Forgetting.Tests.Data;

public class DataSetTests
{
    [Fact]
    public void Reads_prompts_completions_and_conversations_over_blank_lines_and_a_byte_order_mark()
    {
        using TemporaryFolder folder = new();
        string file = folder.Write(
            "d.jsonl",
            "\uFEFF{\"prompt\":\"a\",\"completion\":\"b\"}\r\n\n  \n{\"messages\":[{\"role\":\"user\",\"content\":\"é\\n\"}],\"other\":1}");
        IReadOnlyList<DataExample> examples = DataSet.Read(file);
        Assert.Equal(2, examples.Count);
        Assert.Equal(("a", "b", 0, $"{file}: line 1"), (examples[0].Prompt, examples[0].Completion, examples[0].Index, examples[0].Place));
        Assert.Equal((1, $"{file}: line 4"), (examples[1].Index, examples[1].Place));
        Assert.Equal(new ChatMessage("user", "é\n"), Assert.Single(examples[1].Messages!));
    }

    [Fact]
    public void Reads_an_array_and_named_fields()
    {
        using TemporaryFolder folder = new();
        string file = folder.Write("d.json", """[{"question": "q", "answer": "r"}, {"answer": "t", "question": "s"}]""");
        IReadOnlyList<DataExample> examples = DataSet.Read(file, new DataFields { Prompt = "question", Completion = "answer" });
        Assert.Equal(["q r", "s t"], examples.Select(e => e.Prompt + " " + e.Completion));
    }

    [Theory]
    [InlineData("{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":", "line 2: not JSON: ")]
    [InlineData("\n\n{\"prompt\":\"a\" \"completion\":\"b\"}", "line 3: not JSON: ")]
    [InlineData(
        "{\"prompt\":\"a\",\"question\":\"b\"}",
        "line 1: 'completion' is missing; expected 'prompt' with 'completion', 'messages', 'instruction' with 'output', 'conversations', "
        + "'chosen' with 'rejected', or 'text'; the fields here are: prompt, question")]
    [InlineData("{\"prompt\":null,\"completion\":\"b\"}", "line 1: 'prompt' is null; ")]
    [InlineData("{\"prompt\":3,\"completion\":\"b\"}", "line 1: 'prompt' is the number 3; expected a string")]
    [InlineData(
        "{\"prompt\":\"a\",\"completion\":\"\\ud800\"}", "line 1: 'completion' is a string that is not valid Unicode; expected a string")]
    [InlineData("{\"messages\":{}}", "line 1: 'messages' is an object; expected an array")]
    [InlineData("{\"messages\":[]}", "line 1: 'messages' is empty; expected at least one message")]
    [InlineData("{\"messages\":[{\"role\":\"user\"}]}", "line 1: 'messages.content' is missing")]
    [InlineData("{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "line 1: 'messages.content' is an array; expected a string")]
    [InlineData("\"a\"", "line 1: the value is the string \"a\"; expected an object")]
    [InlineData("[{\"prompt\":\"a\",\"completion\":\"b\"},\n{\"prompt\":\"a\"}]", "item 2: 'completion' is missing; ")]
    [InlineData("[{\"prompt\":\"a\",\n\"completion\" \"b\"}]", "line 2: not JSON: ")]
    [InlineData("", "no examples; expected a record a line or row")]
    [InlineData("[]", "no examples; expected a record a line or row")]
    public void Bad_lines_are_named(string content, string message)
    {
        using TemporaryFolder folder = new();
        string file = folder.Write("d.jsonl", content);
        UserException error = Assert.Throws<UserException>(() => DataSet.Read(file));
        Assert.StartsWith($"{file}: {message}", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        UserException error = Assert.Throws<UserException>(() => DataSet.Read("/nowhere/d.jsonl"));
        Assert.StartsWith("/nowhere/d.jsonl: no such file", error.Message, StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData("gsm8k/test.jsonl", "question", "answer", 1319)]
    [InlineData("qasc/dev.json", "question", "answer", 926)]
    [InlineData("tofu/forget05.json", "question", "answer", 2000)]
    public void Reads_real_files(string path, string prompt, string completion, int count)
    {
        IReadOnlyList<DataExample> examples =
            DataSet.Read(SharedData.Path(path), new DataFields { Prompt = prompt, Completion = completion });
        Assert.Equal(count, examples.Count);
        Assert.All(examples, e => Assert.NotEmpty(e.Completion));
    }
}
