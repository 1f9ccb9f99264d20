using System.Globalization;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Whole tasks: prompts, aggregates, generation, files.</summary>
public class EvaluatorTests
{
    private const string Custom = """
        task: animals
        files: animals.jsonl
        format: json
        fields: {q: string, label: integer, options: strings}
        output_type: multiple_choice
        doc_to_text: "Q: {{q}}\nA:"
        doc_to_choice: options
        doc_to_target: "{{label}}"
        metric_list: [acc, acc_norm]
        """;

    [SharedDataFact]
    public void Results_follow_from_the_samples_and_both_files_are_the_harness_s()
    {
        using var folder = new TemporaryFolder();
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        var options = new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = 0.005, Shots = 2 };
        TaskResult result = new Evaluator(model, options).Run(new TaskLibrary(), "sst5");
        Assert.Equal((2210, 12), (result.Items, result.Evaluated));

        string path = ResultsWriter.Write(folder.Path, "stories", [result], options, DateTimeOffset.UnixEpoch);
        ResultsWriter.WriteSamples(folder.Path, result, DateTimeOffset.UnixEpoch);
        Assert.Equal("results_1970-01-01T00-00-00.000000.json", Path.GetFileName(path));
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(path));
        JsonElement values = json.RootElement.GetProperty("results").GetProperty("sst5");
        Assert.Equal(2, json.RootElement.GetProperty("n-shot").GetProperty("sst5").GetInt32());
        Assert.Equal(12, json.RootElement.GetProperty("n-samples").GetProperty("sst5").GetProperty("effective").GetInt32());

        List<double> scores = [];
        foreach (string line in File.ReadLines(folder["samples_sst5_1970-01-01T00-00-00.000000.jsonl"]))
        {
            using JsonDocument sample = JsonDocument.Parse(line);
            JsonElement[] answers = [.. sample.RootElement.GetProperty("filtered_resps").EnumerateArray()];
            int best = answers.Select((answer, i) => (Sum: double.Parse(answer[0].GetString()!, CultureInfo.InvariantCulture), i))
                .MaxBy(pair => pair.Sum).i;
            double score = best == int.Parse(sample.RootElement.GetProperty("target").GetString()!, CultureInfo.InvariantCulture) ? 1 : 0;
            Assert.Equal(score, sample.RootElement.GetProperty("acc").GetDouble());
            scores.Add(score);
            string prompt = sample.RootElement.GetProperty("arguments").GetProperty("gen_args_0").GetProperty("arg_0").GetString()!;
            Assert.Equal(3, prompt.Split("Review: ").Length - 1);
            Assert.EndsWith("\nSentiment:", prompt, StringComparison.Ordinal);
        }

        Assert.Equal(12, scores.Count);
        Assert.Equal(scores.Average(), values.GetProperty("acc,none").GetDouble(), 1e-12);
        Assert.Equal(Metrics.StandardError(scores), values.GetProperty("acc_stderr,none").GetDouble(), 1e-12);
    }

    [SharedDataFact]
    public void A_user_s_task_runs_and_its_examples_never_hold_the_question()
    {
        using var folder = new TemporaryFolder();
        folder.Write("animals.yaml", Custom);
        folder.Write("animals.jsonl", string.Concat(
            Enumerable.Range(0, 5).Select(i => $$"""{"q": "item {{i}}", "label": {{i % 2}}, "options": ["cat", "dog"]}""" + "\n")));
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        var options = new EvaluationOptions { DataFolder = folder.Path, Shots = 4 };
        TaskResult all = new Evaluator(model, options).Run(new TaskLibrary(folder.Path), "animals");
        Assert.Equal(["acc", "acc_norm"], all.Metrics.Select(metric => metric.Name));
        foreach (TaskSample sample in all.Samples)
        {
            string prompt = sample.Arguments[0].Context;
            Assert.All(Enumerable.Range(0, 5), i => Assert.Contains(
                $"Q: item {i}\nA:{(i == sample.Index ? "" : i % 2 == 0 ? " cat\n\n" : " dog\n\n")}", prompt, StringComparison.Ordinal));
            Assert.EndsWith($"\n\nQ: item {sample.Index}\nA:", prompt, StringComparison.Ordinal);
        }

        // Two items alone get the prompts and scores that they get among all.
        TaskResult few = new Evaluator(model, options with { Limit = 2, BatchTokens = 7 }).Run(new TaskLibrary(folder.Path), "animals");
        Assert.Equal(all.Samples.Take(2).Select(s => s.Arguments[0]), few.Samples.Select(s => s.Arguments[0]));
        Assert.Equal(all.Samples.Take(2).SelectMany(s => s.Responses), few.Samples.SelectMany(s => s.Responses));
        Assert.Equal("task animals: 5 examples wanted, and there are 4 to draw from", Assert.Throws<UserException>(
            () => new Evaluator(model, options with { Shots = 5 }).Run(new TaskLibrary(folder.Path), "animals")).Message);
    }

    [SharedDataFact]
    public void A_run_that_was_ended_takes_up_where_it_was()
    {
        using var folder = new TemporaryFolder();
        string path = SharedData.Path("stories260K", "hf");
        var options = new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = 2 };
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(path, backend);
        PreparedTask Prepare(EvaluationOptions changed, string task = "qasc", string? include = null) =>
            Prepared(model, changed, task, include);
        EvaluationProgress Progress(EvaluationOptions changed, string checkpoint, string device = "cpu") =>
            new(
                folder.Path, EvaluationProgress.ModelOf(checkpoint, null), device, changed,
                checkpoint == path ? DateTimeOffset.UnixEpoch : DateTimeOffset.UtcNow);
        EvaluationProgress first = Progress(options, path);
        Assert.Null(first.Find(Prepare(options)));
        TaskResult result = new Evaluator(model, options).Run(Prepare(options), first);
        first.Save(result);
        Assert.Equal([EvaluationProgress.FileName], Directory.GetFiles(folder.Path).Select(Path.GetFileName));

        var second = new EvaluationProgress(
            folder.Path, EvaluationProgress.ModelOf(path, null), "cpu", options with { BatchTokens = 9 }, DateTimeOffset.UtcNow);
        TaskResult found = second.Find(Prepare(options))!;
        Assert.Equal(DateTimeOffset.UnixEpoch, second.Began);
        Assert.Equal(result.Metrics, found.Metrics);
        Assert.Equal((926, 2, 0, result.Elapsed), (found.Items, found.Evaluated, found.Shots, found.Elapsed));
        Assert.Null(second.Find(Prepare(options, "boolq")));

        // Other items, another model or device, or another task of that name: nothing is taken over.
        Assert.Null(second.Find(Prepare(options with { Limit = 3 })));
        Assert.Null(Progress(options, SharedData.Path("stories260K", "stories260K.bin")).Find(Prepare(options)));
        Assert.Null(Progress(options, path, "cuda").Find(Prepare(options)));
        Assert.Null(Progress(options with { LogSamples = true }, path).Find(Prepare(options)));
        folder.Write("animals.yaml", Custom.Replace("animals", "qasc", StringComparison.Ordinal));
        folder.Write("qasc.jsonl", """{"q": "x", "label": 0, "options": ["cat", "dog"]}""");
        Assert.Null(second.Find(Prepare(options with { DataFolder = folder["qasc.jsonl"] }, include: folder.Path)));
        second.Delete();
        Assert.Null(Progress(options, path).Find(Prepare(options)));
    }

    [SharedDataTheory]
    [InlineData("qasc", 12, 300)]
    [InlineData("tofu_forget_rouge", 6, 700)]
    public void A_task_that_was_ended_in_its_midst_goes_on_to_the_same_answers(string task, int items, int batchTokens)
    {
        using var folder = new TemporaryFolder();
        using var backend = new CpuBackend();
        string path = SharedData.Path("stories260K", "hf");
        using LoadedModel model = LoadedModel.Load(path, backend);
        var options = new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = items, BatchTokens = batchTokens };
        PreparedTask prepared = Prepared(model, options, task);
        var evaluator = new Evaluator(model, options);
        TaskResult whole = evaluator.Run(prepared);

        using var source = new CancellationTokenSource();
        var ends = new Watch(source.Cancel);
        EvaluationProgress Progress() =>
            new(folder.Path, EvaluationProgress.ModelOf(path, null), "cpu", options, DateTimeOffset.UtcNow);
        Assert.Throws<OperationCanceledException>(() => evaluator.Run(prepared, Progress(), ends, source.Token));
        Assert.True(ends.Done[0] < ends.Total);

        // The line that was being written when the process died is incomplete.
        File.AppendAllText(folder[$"answers_{task}.partial"], "{\"index\":0,\"val");
        var goesOn = new Watch(() => { });
        TaskResult resumed = evaluator.Run(prepared, Progress(), goesOn);
        Assert.Equal(ends.Total - ends.Done[0], goesOn.Total);
        Assert.Equal(whole.Samples.SelectMany(sample => sample.Responses), resumed.Samples.SelectMany(sample => sample.Responses));
        Assert.Equal(whole.Metrics, resumed.Metrics);
    }

    [SharedDataFact]
    public void Items_longer_than_the_context_are_counted()
    {
        using var folder = new TemporaryFolder();
        folder.Write("animals.yaml", Custom);
        folder.Write("animals.jsonl", string.Concat(new[] { 1, 200, 3 }.Select(
            n => $$"""{"q": "{{string.Concat(Enumerable.Repeat("a dog ", n))}}", "label": 0, "options": ["cat", "dog"]}""" + "\n")));
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        Assert.True(model.Tokenizer.Encode(string.Concat(Enumerable.Repeat("a dog ", 200))).Length > model.Decoder.Config.ContextLength);
        TaskResult result =
            new Evaluator(model, new EvaluationOptions { DataFolder = folder.Path }).Run(new TaskLibrary(folder.Path), "animals");
        Assert.Equal((3, 1), (result.Evaluated, result.Truncated));
        Assert.Equal(
            1,
            (int)ResultsWriter.Json(
                "m", [result], new EvaluationOptions { DataFolder = folder.Path },
                DateTimeOffset.UnixEpoch)["n-samples"]!["animals"]!["truncated"]!);

        folder.Write(
            "animals.jsonl", $$"""{"q": "x", "label": 0, "options": ["cat", "{{string.Concat(Enumerable.Repeat("dog ", 600))}}"]}""");
        Assert.Contains("animals.jsonl: line 1: a continuation of ", Assert.Throws<UserException>(
            () => Prepared(model, new EvaluationOptions { DataFolder = folder.Path }, "animals", folder.Path)).Message,
            StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Generations_stop_at_strings_and_do_not_depend_on_the_batch()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        var encoder = new RequestEncoder(model.Tokenizer, model.Decoder.Config);
        string[] prompts = ["Once upon a time", "Lily and Tom", "The big dog was"];
        IReadOnlyList<string> Complete(int batchTokens, params string[] until) =>
            new TextCompleter(model.Decoder, model.Tokenizer, batchTokens).Complete(
                [.. prompts.Select(prompt => encoder.EncodePrompt(prompt, 40).Ids)], until,
                new GenerationOptions { MaxNewTokens = 40, StopIds = model.EndIds });

        IReadOnlyList<string> whole = Complete(4096);
        Assert.Equal(whole, Complete(1));
        for (int i = 0; i < prompts.Length; i++)
        {
            int[] ids = model.Tokenizer.Encode(prompts[i]);
            int[] tokens = new Generator(model.Decoder).Generate([ids], new GenerationOptions { MaxNewTokens = 40 })[0];
            Assert.Equal(model.Tokenizer.Decode(tokens), whole[i]);
            Assert.True(whole[i].Length > 40);
        }

        string stop = whole[0][20..26];
        Assert.Equal(whole.Select(text => text.Split(stop)[0]), Complete(4096, stop, "§"));
    }

    [SharedDataFact]
    public void Tofu_measures_follow_from_log_likelihoods_and_texts()
    {
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        var evaluator = new Evaluator(model, new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = 3 });
        TaskResult facts = evaluator.Run(new TaskLibrary(), "tofu_world_facts");
        foreach (TaskSample sample in facts.Samples)
        {
            // The end of an answer is one token more.
            double[] means = [.. sample.Responses.Cast<LogLikelihood>().Select((answer, i) => answer.Sum
                / (1 + model.Tokenizer.Encode(sample.Arguments[i].Context + sample.Arguments[i].Continuation).Length
                    - model.Tokenizer.Encode(sample.Arguments[i].Context).Length))];
            double ratio = Math.Exp(((means[1] + means[2] + means[3]) / 3) - means[0]);
            Dictionary<string, double> scores = sample.Scores.ToDictionary(score => score.Metric, score => score.Score);
            Assert.Equal(Math.Exp(means[0]) / means.Sum(Math.Exp), scores["probability"], 1e-12);
            Assert.Equal(ratio, scores["truth_ratio"], 1e-12);
            Assert.Equal(Math.Max(0, 1 - ratio), scores["truth_ratio_true_better"], 1e-12);
        }

        Assert.All(evaluator.Run(new TaskLibrary(), "tofu_forget_probability").Samples, sample =>
            Assert.Equal(((LogLikelihood)sample.Responses[0]).TokenProbability, Assert.Single(sample.Scores).Score));
        Assert.All(evaluator.Run(new TaskLibrary(), "tofu_forget_rouge").Samples, sample =>
            Assert.Equal(Rouge.L((string)sample.Responses[0], sample.Target, stem: true).Recall, Assert.Single(sample.Scores).Score));
    }

    [SharedDataFact]
    public void Perplexity_is_that_of_the_summed_log_likelihood()
    {
        using var folder = new TemporaryFolder();
        folder.Write("story.txt", "Once upon a time, there was a little girl named Lily.");
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        TaskResult result = new Evaluator(model, new EvaluationOptions { DataFolder = folder.Path }).Run(new TaskLibrary(), "perplexity");
        double sum = new LogLikelihoodScorer(model.Decoder, 100).Score(
            [new(
                [model.Tokenizer.BosId!.Value],
                model.Tokenizer.Encode("Once upon a time, there was a little girl named Lily.", bos: false))])[0].Sum;
        double[] found = [.. result.Metrics.Select(metric => metric.Value)];
        Assert.Equal(Math.Exp(-sum / 11), found[0], 1e-9);
        Assert.Equal(Math.Exp(-sum / 53), found[1], 1e-9);
        Assert.Equal(-sum / 53 / Math.Log(2), found[2], 1e-9);
    }

    [Theory]
    [InlineData(
        "metric_list: [acc, acc_norm]", "metric_list: f1",
        "animals.yaml:9: metric_list is \"f1\"; expected acc, acc_norm, mc2, probability, truth_ratio, "
        + "truth_ratio_true_better, truth_ratio_closer_to_1")]
    [InlineData(
        "format: json", "format: xml",
        "animals.yaml:3: format is \"xml\"; expected json, truthfulqa, qasc, logiqa, asdiv, tydiqa, mmlu, text")]
    [InlineData("files: animals.jsonl", "file: animals.jsonl", "animals.yaml:2: \"file\" is no key of a task; expected one of task")]
    [InlineData("doc_to_target: \"{{label}}\"", "num_fewshot: x", "animals.yaml:1: \"doc_to_target\" is missing")]
    [InlineData("\"{{label}}\"", "\"{{label\"", "animals.yaml:8: doc_to_target: ")]
    [InlineData(
        "metric_list: [acc, acc_norm]", "metric_list: acc\nall_files: perhaps",
        "animals.yaml:10: all_files is \"perhaps\"; expected true, false")]
    [InlineData(
        "metric_list: [acc, acc_norm]", "metric_list: acc\nfewshot_config: {by: q}",
        "animals.yaml:10: by is given without \"fewshot_files\"; expected files that examples come from")]
    [InlineData(
        "multiple_choice", "generate_until\nrepeats: 3",
        "animals.yaml:6: repeats is 3 of one and the same text; expected a \"temperature\" above 0")]
    [InlineData(
        "task: animals", "group: animals\ntask: boolq", "animals.yaml:3: \"files\" is no key of a group; expected one of group, task")]
    public void A_malformed_task_is_named(string old, string changed, string expected)
    {
        using var folder = new TemporaryFolder();
        string task = Custom.Replace(old, changed, StringComparison.Ordinal);
        folder.Write("animals.yaml", task.Contains("generate_until", StringComparison.Ordinal)
            ? task.Replace("[acc, acc_norm]", "exact_match", StringComparison.Ordinal)
            : task);
        Assert.Contains(expected, Assert.Throws<UserException>(() => new TaskLibrary(folder.Path)).Message, StringComparison.Ordinal);
    }

    private static PreparedTask Prepared(LoadedModel model, EvaluationOptions options, string task, string? include = null) =>
        PreparedTask.Read(new TaskLibrary(include), task, options, model.Tokenizer, model.Decoder.Config);

    /// <summary>Sees how far a task is, and does something after its first batch.</summary>
    private sealed class Watch(Action first) : ITrainingObserver
    {
        public List<long> Done { get; } = [];

        public long Total { get; private set; }

        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total)
        {
            Done.Add(done);
            Total = total;
            if (Done.Count == 1)
                first();
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
        }

        public void CheckpointWritten(string path)
        {
        }
    }

    [Theory]
    [InlineData("[bleu_max]", "", "metric_list is \"bleu_max\" without wrong answers; expected a field \"false_references\"")]
    [InlineData("self_bleu", "", "metric_list is \"self_bleu\" of one text; expected \"repeats\" of 2 or more")]
    [InlineData("f1", "temperature: -1", "temperature is \"-1\"; expected a number, at least 0")]
    public void A_malformed_generation_is_named(string metrics, string more, string expected)
    {
        using var folder = new TemporaryFolder();
        folder.Write("a.yaml", "task: a\nfiles: a.jsonl\nformat: json\noutput_type: generate_until\ndoc_to_text: x\ndoc_to_target: "
            + $"y\nmetric_list: {metrics}\n{more}\n");
        Assert.EndsWith(expected, Assert.Throws<UserException>(() => new TaskLibrary(folder.Path)).Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void A_group_is_its_tasks_each_once()
    {
        using var folder = new TemporaryFolder();
        folder.Write("animals.yaml", Custom);
        folder.Write("animals.jsonl", """{"q": "item", "label": 0, "options": ["cat", "dog"]}""");
        folder.Write("zoo.yaml", "group: zoo\ntask: [animals, farm]\n");
        folder.Write("farm.yaml", "group: farm\ntask: animals\n");
        folder.Write("self.yaml", "group: self\ntask: [animals, other]\n");
        folder.Write("other.yaml", "group: other\ntask: self\n");
        using var backend = new CpuBackend();
        using LoadedModel model = LoadedModel.Load(SharedData.Path("stories260K", "hf"), backend);
        IReadOnlyList<PreparedTask> Prepare(string name) =>
            new TaskLibrary(folder.Path).Prepare(
                [name], new EvaluationOptions { DataFolder = folder.Path }, model.Tokenizer, model.Decoder.Config);

        Assert.Equal("animals", Assert.Single(Prepare("zoo")).Name);
        Assert.Equal("group \"self\" is part of itself: self → other → self", Assert.Throws<UserException>(() => Prepare("self")).Message);
    }
}
