using System.Globalization;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Cases;

/// <summary>The inputs of <c>shared/cases</c> with what their README states to be right.</summary>
[Collection(CommandCollection.Name)]
public sealed partial class SharedCasesTests
{
    private static readonly string s_model = SharedData.Folder is null ? "" : SharedData.Path("stories260K", "hf");
    private static readonly Tokenizer? s_tokenizer = SharedData.Folder is null ? null : Tokenizer.Load(s_model);

    private static Tokenizer Stories => s_tokenizer!;

    [SharedCaseFact]
    public void The_first_token_of_an_answer_is_learnt_on_whichever_side_of_the_joint_its_space_is()
    {
        var notices = new Notices();
        IReadOnlyList<EncodedExample> examples = Load("boundary.jsonl", observer: notices);

        // "▁a" and eos, both times; the first example's prompt ends in the space that "▁a" holds.
        Assert.Equal(examples[1].Ids, examples[0].Ids);
        Assert.All(examples, e => Assert.Equal([Stories.IdOf("▁a")!.Value, 2], Learnt(e)));
        Assert.EndsWith(
            "boundary.jsonl: in 1 of 2 examples one token holds the end of the prompt and the beginning of the answer; it is learnt",
            Assert.Single(notices.Told), StringComparison.Ordinal);

        // The paper's program counts the prompt's own tokens, among them a lone "▁".
        Assert.Equal(
            [1, 2], Load("boundary.jsonl", options: new TrainingOptions { Compat = Compatibility.Paper }).Select(e => e.ResponseCount));
        Assert.All(
            Load("boundary.jsonl", options: new TrainingOptions { Data = new() { Template = "plain" } }),
            e => Assert.Equal(2, e.ResponseCount));
    }

    [SharedCaseFact]
    public void Content_that_a_template_puts_right_behind_a_space_is_learnt()
    {
        EncodedExample example = Assert.Single(Load("turn-end.jsonl", "generation-mask.jinja"));
        Assert.Equal([Stories.IdOf("▁the")!.Value, 2], Learnt(example));
    }

    [SharedCaseFact]
    public void A_turn_is_learnt_through_the_special_token_that_its_template_closes_it_with()
    {
        EncodedExample example = Assert.Single(Load("turn-end.jsonl", "turn-end.jinja"));
        Assert.Equal("the<unk>", Text(example));
        Assert.Equal(0, example.Ids[^1]);
    }

    [SharedCaseFact]
    public void Thinking_that_a_template_opens_or_leaves_out_does_not_hide_a_turn()
    {
        using TemporaryFolder folder = new();
        string data = folder.Write(
            "two.jsonl", Turns("<think>\\nsee</think>the ball", "<think>\\nsaw</think>a ball") + Turns("the ball", "a ball"));
        IReadOnlyList<EncodedExample> examples = Load(data, "think.jinja");
        Assert.Equal("the ball</s><think>\nsaw</think>a ball</s>", Text(examples[0]));
        Assert.Equal("the ball</s>a ball</s>", Text(examples[1]));
        Assert.Equal("[U]hi[A]the ball</s> [U]go[A]a ball</s>", Stories.Decode(examples[1].Ids, skipSpecial: false));
    }

    private static string Turns(string first, string second) =>
        $$"""{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{{first}}"}, """
        + $$"""{"role": "user", "content": "go"}, {"role": "assistant", "content": "{{second}}"}]}""" + "\n";

    [SharedCaseFact]
    public void Tool_calls_are_written_by_the_template_or_refused_by_name_and_line()
    {
        foreach (string template in new[] { "tulu", "plain" })
        {
            string message = Assert.Throws<UserException>(
                () => Load("tool-calls.jsonl", options: new TrainingOptions { Data = new() { Template = template } })).Message;
            Assert.EndsWith(
                $"tool-calls.jsonl: line 1: 'tools' is not written by the template {template}; expected none, "
                    + "or a chat template that writes it",
                message, StringComparison.Ordinal);
        }

        Assert.Contains(
            "line 1: message 2 has 'tool_calls', which the template ",
            Assert.Throws<UserException>(() => Load("tool-calls.jsonl", "turn-end.jinja")).Message, StringComparison.Ordinal);
        using TemporaryFolder folder = new();
        string template2 = folder.Write("tools.jinja", """
            {% for t in tools %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}{{ m.role }}
            {{ m.content }}{% for c in m.tool_calls or [] %}({{ c.function.name }}){% endfor %}<unk>{% endfor %}
            {%- if add_generation_prompt %}assistant
            {% endif %}
            """);
        EncodedExample example = Assert.Single(Load("tool-calls.jsonl", template2));
        Assert.Equal("[f]user\nhi<unk> assistant\n(f)<unk>", Stories.Decode(example.Ids, skipSpecial: false));
        Assert.Equal("(f)<unk>", Text(example));
    }

    [SharedCaseFact]
    public void Lists_of_text_parts_are_joined() => Assert.Equal("the</s>", Text(Assert.Single(Load("list-content.jsonl"))));

    [SharedCaseFact]
    public void An_assistant_message_of_weight_0_is_not_learnt()
    {
        foreach (string template in new[] { "tulu", "plain", SharedCases.Path("turn-end.jinja"), SharedCases.Path(
            "generation-mask.jinja") })
        {
            EncodedExample example =
                Assert.Single(Load("weighted.jsonl", options: new TrainingOptions { Data = new() { Template = template } }));
            Assert.Equal(template.EndsWith("turn-end.jinja", StringComparison.Ordinal) ? "yes<unk>" : "yes</s>", Text(example).Trim());
            Assert.Contains("no", Stories.Decode(example.Ids), StringComparison.Ordinal);
        }
    }

    [SharedCaseFact]
    public void Special_tokens_in_the_data_are_there_once_or_are_said_to_be_text()
    {
        var notices = new Notices();
        EncodedExample allowed = Assert.Single(
            Load("special-in-data.jsonl", options: new TrainingOptions { Data = new() { AllowSpecial = true } }, observer: notices));
        Assert.Equal([1, .. Stories.Encode("Tom has a ball.", bos: false), 2], allowed.Ids);
        Assert.EndsWith(
            "1 of 1 examples spell the token that begins a text or ends an answer, which is there in any case; it is put there once",
            Assert.Single(notices.Told), StringComparison.Ordinal);

        notices = new Notices();
        EncodedExample text = Assert.Single(Load("special-in-data.jsonl", observer: notices));
        Assert.Equal((1, 1), (text.Ids.Count(id => id == 1), text.Ids.Count(id => id == 2)));
        Assert.Equal("<s>Tom has a ball.</s>", Stories.Decode(text.Ids));
        Assert.EndsWith(
            "1 of 1 examples spell special tokens (</s>, <s>), which are text here; with allow-special they would be the tokens",
            Assert.Single(notices.Told), StringComparison.Ordinal);
    }

    [SharedCaseFact]
    public void The_tuned_model_stops_where_its_turns_end_and_its_folder_says_so()
    {
        using CpuBackend backend = new();
        using TemporaryFolder folder = new();
        string template = SharedCases.Path("turn-end.jinja");
        TrainingOptions options = Tuning(template, folder["run"]);
        TuneRun.Execute(options with
        {
            Schedule = options.Schedule with { Steps = 60 },
            Lora = options.Lora with { Rank = 0 },
            Optimizer = options.Optimizer with { LearningRate = 3e-3 },
        }, backend);

        // eos stays first; the template's end, <unk>, has id 0.
        string model = folder["run", "model"];
        foreach (string file in new[] { "config.json", "generation_config.json" })
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(model, file)));
            Assert.Equal([2, 0], json.RootElement.GetProperty("eos_token_id").EnumerateArray().Select(e => e.GetInt32()));
        }

        Assert.Equal(File.ReadAllText(template), File.ReadAllText(Path.Combine(model, "chat_template.jinja")));
        using JsonDocument tokenizer = JsonDocument.Parse(File.ReadAllText(Path.Combine(model, "tokenizer_config.json")));
        Assert.Equal(File.ReadAllText(template), tokenizer.RootElement.GetProperty("chat_template").GetString());
        Assert.Equal("</s>", tokenizer.RootElement.GetProperty("eos_token").GetString());

        // The prompt is laid out as in training without being told, and the answer ends at the turn's end.
        using JsonDocument said =
            JsonDocument.Parse(CommandResult.Of("generate", "--model", model, "--prompt", "hi", "--json", "--device", "cpu").Output);
        int[] learnt = Learnt(Assert.Single(Load("turn-end.jsonl", "turn-end.jinja")));
        Assert.Equal(learnt[..^1], said.RootElement.GetProperty("generated").EnumerateArray().Select(e => e.GetInt32()));
        Assert.Equal("the", said.RootElement.GetProperty("text").GetString()!.Trim());

        // Whoever evaluates or elicits asks the loaded model.
        using LoadedModel loaded = LoadedModel.Load(model, backend);
        Assert.Equal([2, 0], loaded.EndIds);
        Assert.Equal(2, loaded.Tokenizer.EosIds[0]);
    }

    [SharedCaseFact]
    public void An_adapter_carries_its_template_and_end_and_so_does_what_is_merged_from_it()
    {
        using CpuBackend backend = new();
        using TemporaryFolder folder = new();
        TrainingOptions options = Tuning(SharedCases.Path("turn-end.jinja"), folder["run"]);
        TuneRun.Execute(options with { Schedule = options.Schedule with { Steps = 1 } }, backend);
        using (LoadedModel adapted = LoadedModel.Load(s_model, backend, adapter: folder["run", "adapter"]))
        {
            Assert.Equal([2, 0], adapted.EndIds);
        }

        Assert.Equal(
            0, CommandResult.Of("merge", "--model", s_model, "--adapter", folder["run", "adapter"], "--out", folder["merged"]).ExitCode);
        foreach (string file in new[] { "chat_template.jinja", "generation_config.json", "config.json", "tokenizer_config.json" })
        {
            Assert.Equal(File.ReadAllText(folder["run", "model", file]), File.ReadAllText(folder["merged", file]));
        }

        Assert.Equal("turn-end", Name(ChatLayout.Named("auto", s_model, folder["run", "adapter"])));
        string Name(MessageLayout layout) =>
            layout.Name.EndsWith(Path.Combine("adapter", "chat_template.jinja"), StringComparison.Ordinal) ? "turn-end" : layout.Name;
    }

    [SharedCaseFact]
    public void A_run_whose_template_tells_the_date_goes_on_with_the_day_it_began()
    {
        using CpuBackend backend = new();
        using TemporaryFolder folder = new();
        TrainingOptions options = Tuning(SharedCases.Path("dated.jinja"), folder["run"]);
        options = options with { Schedule = options.Schedule with { Steps = 3 }, Checkpoints = options.Checkpoints with { Every = 1 } };
        using var interruption = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => TuneRun.Execute(
            options with { Data = options.Data with { TemplateDate = "2020-02-29T00:00:00" } }, backend,
            observer: new StopAfter(1, interruption), cancellation: interruption.Token));

        // Today is another day, and the run does not say which.
        TuneSummary resumed = TuneRun.Execute(options, backend, resume: true);
        Assert.Equal(3, resumed.Steps);
        Assert.Equal("2020-02-29T00:00:00", Recipe.Read(folder["run", "run.yaml"], new TrainingOptions()).Data.TemplateDate);
        Assert.StartsWith("Today: 29 Feb 2020", Stories.Decode(
            Assert.Single(Load("turn-end.jsonl", "dated.jinja", new TrainingOptions { Data = new() { TemplateDate = "2020-02-29" } })).Ids),
            StringComparison.Ordinal);

        // A run that is not told keeps the moment it began.
        TuneRun.Execute(options with { Out = folder["new"], Schedule = options.Schedule with { Steps = 1 } }, backend);
        Assert.Equal(
            DateTime.Now,
            DateTime.Parse(Recipe.Read(folder["new", "run.yaml"], new TrainingOptions()).Data.TemplateDate!, CultureInfo.InvariantCulture),
            TimeSpan.FromMinutes(10));
        Assert.Equal(
            "template-date is \"soon\"; expected a time such as 2025-03-09T08:05:07",
            Assert.Throws<UserException>(
                () => Load("turn-end.jsonl", "dated.jinja", new TrainingOptions { Data = new() { TemplateDate = "soon" } })).Message);
    }

    [SharedCaseFact]
    public void The_layout_is_the_model_s_own_where_it_has_one_and_the_folder_carries_what_was_trained_on()
    {
        using CpuBackend backend = new();
        using TemporaryFolder folder = new();
        string data = SharedCases.Path("turn-end.jsonl"), pairs = folder.Write("pairs.jsonl", """{"prompt": "hi", "completion": "the"}""");
        Assert.Equal("tulu", Tuned("first", s_model, data).Data.Template);
        string first = folder["first", "model"];
        string carried = File.ReadAllText(Path.Combine(first, "chat_template.jinja"));

        // The paper's layout as other programs would render it, and as it is recognised here, where it gives the same tokens.
        Assert.Equal("<s><|user|>\nhi\n<|assistant|>\nthe</s>", ChatTemplate.Parse(carried, "t", new Dictionary<string, string>())
            .Render([new("user", " hi"), new("assistant", "the ")]));
        Assert.Equal("<s><|user|>\nhi\n<|assistant|>\n", ChatTemplate.Parse(carried, "t", new Dictionary<string, string>())
            .Render([new("user", "hi")], addGenerationPrompt: true));
        Assert.Same(MessageLayout.Tulu, ChatLayout.Named("auto", first));
        Assert.False(File.Exists(Path.Combine(first, "generation_config.json")));

        // The next run takes it from there; the paper's own program never does, and another template replaces it.
        Assert.Equal("chat", Tuned("second", first, data).Data.Template);
        Assert.Equal(carried, File.ReadAllText(folder["second", "model", "chat_template.jinja"]));
        Assert.Equal("tulu", Tuned("paper", first, data, o => o with { Compat = Compatibility.Paper }).Data.Template);
        Tuned("third", first, data, o => o with { Data = o.Data with { Template = "plain" } });
        Assert.Same(MessageLayout.Plain, ChatLayout.Named("auto", folder["third", "model"]));
        ChatTemplate plain = ChatTemplate.Load(folder["third", "model"])!;
        Assert.Equal("<s>S U\nA</s> V B</s>W", plain.Render(
            [new("system", "S"), new("user", "U\n"), new("assistant", "A"), new("user", " V"), new("assistant", "B"), new("user", "W")]));

        // Prompts and completions have no markers, and a model without a template gets none for them.
        Tuned("fourth", s_model, pairs);
        Assert.False(File.Exists(folder["fourth", "model", "chat_template.jinja"]));
        Tuned("fifth", first, pairs, o => o with { Data = o.Data with { Template = "tulu" } });
        Assert.Same(MessageLayout.Plain, ChatLayout.Named("auto", folder["fifth", "model"]));

        TrainingOptions Tuned(string name, string model, string file, Func<TrainingOptions, TrainingOptions>? change = null)
        {
            TrainingOptions options = Tuning("auto", folder[name]);
            options =
                options with { Model = model, Data = options.Data with { Path = file }, Schedule = options.Schedule with { Steps = 1 } };
            TuneRun.Execute(change is null ? options : change(options), backend);
            return Recipe.Read(folder[name, "run.yaml"], new TrainingOptions());
        }
    }

    private static TrainingOptions Tuning(string template, string folder) => new()
    {
        Model = s_model,
        Data = new() { Path = SharedCases.Path("turn-end.jsonl"), Template = template },
        Out = folder,
        Method = TrainingMethod.Full,
        Lora = new() { Rank = 4 },
    };

    private static IReadOnlyList<EncodedExample> Load(
        string data, string? template = null, TrainingOptions? options = null, ITrainingObserver? observer = null)
    {
        options ??= new TrainingOptions();
        options = options with
        {
            Model = s_model,
            Data = options.Data with { Template = template is null ? options.Data.Template : SharedCases.Path(template) },
        };
        using Checkpoint model = Checkpoint.Open(s_model);
        return ExampleLoader.Load(SharedCases.Path(data), Stories, model.Config, options, observer);
    }

    private static int[] Learnt(EncodedExample example) => [.. example.Ids.Where((_, i) => example.Response[i])];

    private static string Text(EncodedExample example) => Stories.Decode(Learnt(example), skipSpecial: false);

    /// <summary>Remembers what it is told.</summary>
    private sealed class Notices : ITrainingObserver
    {
        public List<string> Told { get; } = [];

        public void StageBegan(string what)
        {
        }

        public void Noticed(string what) => Told.Add(what);

        public void Progressed(long done, long total)
        {
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
        }

        public void CheckpointWritten(string path)
        {
        }
    }

    /// <summary>Stops a run after some steps.</summary>
    private sealed class StopAfter(int steps, CancellationTokenSource interruption) : ITrainingObserver
    {
        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total)
        {
        }

        public void StepDone(StepMetrics metrics, int all)
        {
            if (metrics.Step == steps)
                interruption.Cancel();
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
