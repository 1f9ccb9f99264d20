using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Text;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

/// <summary>stories260K continues real prompts.</summary>
public sealed class ElicitationTests : IDisposable
{
    private static readonly ElicitationOptions s_options = new() { MaxNewTokens = 24, BatchTokens = 300 };

    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataFact]
    public void Samples_encode_to_what_was_generated_and_know_their_task()
    {
        using LoadedModel model = Load();
        PromptTask[] tasks = [.. PromptTask.Read([Prompts("questions", 6)], new DataFields()), new PromptTask("stories", Stories)];
        ElicitationSummary summary = Elicitation.Run(model, tasks, s_options, _folder["self.jsonl"]);
        IReadOnlyList<ElicitedSample> samples = ElicitedSample.Read(_folder["self.jsonl"]);
        Assert.Equal((9, samples.Count(s => s.Truncated == true)), (summary.Samples, summary.Truncated));
        Assert.Equal(
            [.. Enumerable.Range(0, 6).Select(i => ("questions", i)), ("stories", 0), ("stories", 1), ("stories", 2)],
            samples.Select(s => (s.Task, s.Index)));

        // The file is training data; each example is its prompt and the greedy continuation, generated here without batching.
        var encoder = new ExampleEncoder(model.Tokenizer, 512);
        IReadOnlyList<DataExample> data = DataSet.Read(_folder["self.jsonl"]);
        int exact = 0;
        for (int i = 0; i < data.Count; i++)
        {
            EncodedExample example = encoder.Encode(data[i]);
            int[] prompt = encoder.EncodePrompt(data[i]);
            int[] generated =
                new Generator(model.Decoder).Generate([prompt], new GenerationOptions { MaxNewTokens = 24, StopIds = [2] })[0];
            int[] expected = samples[i].Truncated == true ? generated : [.. generated, 2];
            if (samples[i].Exact)
            {
                Assert.Equal([.. prompt, .. expected], example.Ids);
                Assert.Equal(expected.Length, example.ResponseCount);
                exact++;
            }
        }

        Assert.Equal(summary.Exact, exact);
        Assert.True(exact >= 7, $"{exact} of 9");
    }

    [SharedDataFact]
    public void A_continuation_without_a_space_keeps_its_place()
    {
        using LoadedModel model = Load();
        var task = new PromptTask("t", [Prompt(0, "Once upon a ti")]);
        Elicitation.Run(model, [task], s_options, _folder["self.jsonl"]);
        ElicitedSample sample = ElicitedSample.Read(_folder["self.jsonl"])[0];
        Assert.StartsWith("re", sample.Completion, StringComparison.Ordinal);
        Assert.Equal("", sample.Separator);
    }

    [SharedDataFact]
    public void An_interrupted_elicitation_continues_to_the_same_file()
    {
        using LoadedModel model = Load();
        IReadOnlyList<PromptTask> tasks = PromptTask.Read([Prompts("questions", 10)], new DataFields());
        string whole = _folder["whole.jsonl"], interrupted = _folder["interrupted.jsonl"];
        Elicitation.Run(model, tasks, s_options, whole);

        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(
            () => Elicitation.Run(model, tasks, s_options, interrupted, new Until(400, source.Cancel), cancellation: source.Token));
        Assert.False(File.Exists(interrupted));

        // Killed while a line was being written.
        File.AppendAllText(interrupted + ".partial", "{\"prompt\":\"Wha");
        var again = new Until(long.MaxValue, () => { });
        Elicitation.Run(model, tasks, s_options, interrupted, again);
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(interrupted));
        Assert.False(File.Exists(interrupted + ".partial"));

        // What another model, prompt or setting left is not continued.
        using var another = new CancellationTokenSource();
        ElicitationOptions longer = s_options with { MaxNewTokens = s_options.MaxNewTokens + 1 };
        Assert.Throws<OperationCanceledException>(
            () => Elicitation.Run(
                model, tasks, longer, _folder["other.jsonl"], new Until(400, another.Cancel), cancellation: another.Token));
        Assert.True(File.Exists(_folder["other.jsonl.partial"]));
        Elicitation.Run(model, tasks, s_options, _folder["other.jsonl"]);
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(_folder["other.jsonl"]));
    }

    [SharedDataFact]
    public void Worked_examples_come_first_and_a_blank_line_ends_the_answer()
    {
        using LoadedModel model = Load();
        DataExample[] shots = [Prompt(0, "The cat") with { Completion = "sat on the mat." }];
        Elicitation.Run(
            model, [new PromptTask("t", Stories)], s_options with { FewShot = shots, MaxNewTokens = 60 }, _folder["self.jsonl"]);
        IReadOnlyList<ElicitedSample> samples = ElicitedSample.Read(_folder["self.jsonl"]);
        Assert.Equal(Stories.Select(s => s.Prompt), samples.Select(s => s.Prompt));
        for (int i = 0; i < samples.Count; i++)
        {
            int[] ids = model.Tokenizer.Encode("The cat sat on the mat.\n\n" + Stories[i].Prompt);
            int[] generated = new Generator(model.Decoder).Generate([ids], new GenerationOptions { MaxNewTokens = 60, StopIds = [2] })[0];
            Assert.Equal(model.Tokenizer.Decode(generated, startOfText: false).Split("\n\n")[0], samples[i].Completion);
        }
    }

    [SharedDataFact]
    public void A_conversation_is_answered()
    {
        using LoadedModel model = Load();
        string path = _folder.Write(
            "chat.jsonl", """{"messages":[{"role":"user","content":"Tell me of Lily."},{"role":"assistant","content":"not this"}]}""");
        Elicitation.Run(model, PromptTask.Read([path], new DataFields()), s_options, _folder["self.jsonl"]);
        ElicitedSample sample = ElicitedSample.Read(_folder["self.jsonl"])[0];
        int[] ids = model.Tokenizer.Encode("<|user|>\nTell me of Lily.\n<|assistant|>\n");
        int[] generated = new Generator(model.Decoder).Generate([ids], new GenerationOptions { MaxNewTokens = 24, StopIds = [2] })[0];
        Assert.Equal([new ChatMessage("user", "Tell me of Lily."),
            new ChatMessage("assistant", model.Tokenizer.Decode(generated, startOfText: false))], sample.Messages);
    }

    [SharedDataFact]
    public void Bad_prompts_are_refused()
    {
        using LoadedModel model = Load();
        string same = _folder.Write("questions2.jsonl", "{\"prompt\":\"a\"}");
        Directory.CreateDirectory(_folder["sub"]);
        File.Copy(same, _folder["sub", "questions2.jsonl"]);
        Assert.Contains(
            "two prompt files are named questions2",
            Assert.Throws<UserException>(() => PromptTask.Read([same, _folder["sub", "questions2.jsonl"]], new DataFields())).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "'prompt' is missing",
            Assert.Throws<UserException>(() => PromptTask.Read([_folder.Write("no.jsonl", "{\"text\":1}")], new DataFields())).Message,
            StringComparison.Ordinal);
        var task = new PromptTask("t", [Prompt(0, string.Concat(Enumerable.Repeat("word ", 600)))]);
        Assert.Contains(
            "p: the prompt has", Assert.Throws<UserException>(() => Elicitation.Run(model, [task], s_options, _folder["x.jsonl"])).Message,
            StringComparison.Ordinal);
        Assert.Contains("max-new-tokens is 0", Assert.Throws<UserException>(() =>
            Elicitation.Run(model, [task], s_options with { MaxNewTokens = 0 }, _folder["x.jsonl"])).Message, StringComparison.Ordinal);
    }

    private static DataExample[] Stories => [Prompt(0, "Once upon a time"), Prompt(1, "Tim and Sue went to"), Prompt(2, "Lily was sad.")];

    private static DataExample Prompt(int index, string text) => new() { Index = index, Place = "p", Prompt = text };

    private LoadedModel Load() => LoadedModel.Load(SharedData.Path("stories260K", "hf"), _backend);

    private string Prompts(string name, int count) =>
        _folder.Write($"{name}.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(count)
            .Select(line => line.Replace("\"question\"", "\"prompt\"", StringComparison.Ordinal))));

    /// <summary>Acts when so many tokens are done.</summary>
    private sealed class Until(long count, Action act) : ITrainingObserver
    {
        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total)
        {
            if (done >= count)
                act();
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
