using System.Text.Json;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests;

/// <summary>The facade, against golden ids and losses of stories260K and against what the commands write.</summary>
[Collection(CommandCollection.Name)]
public sealed class LanguageModelTests : IDisposable
{
    private static readonly TrainingExample[] s_examples =
    [
        .. Enumerable.Range(0, 6).Select(i => new TrainingExample($"Lily has {i + 2} cats and a", $" dog number {i}.")),
        new([new ChatMessage("user", "Who has a ball?"), new ChatMessage("assistant", "Tom has a red ball.")]),
    ];

    private readonly TemporaryFolder _folder = new();

    private static string Stories => SharedData.Path("stories260K", "hf");

    public void Dispose() => _folder.Dispose();

    [SharedDataFact]
    public async Task Generates_the_golden_text_at_once_and_in_parts_and_stops_where_it_is_told()
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        var options = new GenerationOptions { MaxNewTokens = 48 };
        string golden = GoldenText(model, 48);
        Assert.Equal(golden, model.Generate("", options));
        Assert.Equal(golden["Once upon a time".Length..], model.Generate("Once upon a time", options with { MaxNewTokens = 44 }));

        List<string> parts = [];
        await foreach (string part in model.GenerateAsync("", options))
        {
            parts.Add(part);
        }

        Assert.True(parts.Count > 20);
        Assert.Equal(golden, string.Concat(parts));
        Assert.Equal(golden[..golden.IndexOf("time", StringComparison.Ordinal)], model.Generate("", options with { StopTexts = ["time"] }));
    }

    [SharedDataFact]
    public async Task A_stream_ends_when_it_is_left_or_cancelled_and_the_model_goes_on()
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        var options = new GenerationOptions { MaxNewTokens = 400 };
        string whole = model.Generate("Once", options with { MaxNewTokens = 8 }), left = "";
        await foreach (string part in model.GenerateAsync("Once", options))
        {
            left += part;
            break;
        }

        Assert.StartsWith(left, whole, StringComparison.Ordinal);
        using var source = new CancellationTokenSource();
        await Assert.ThrowsAsync<OperationCanceledException>(async () =>
        {
            await foreach (string part in model.GenerateAsync("Once", options, source.Token))
            {
                await source.CancelAsync();
            }
        });
        await Assert.ThrowsAsync<UserException>(async () =>
        {
            await foreach (string part in model.GenerateAsync(new string('x', 2000), options))
            {
            }
        });
        Assert.Equal(whole, model.Generate("Once", options with { MaxNewTokens = 8 }));
    }

    [SharedDataFact]
    public async Task Answers_a_conversation_in_the_layout_of_the_chat_command()
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        var options = new GenerationOptions { MaxNewTokens = 12 };
        const string laidOut = "<|system|>\nS\n<|user|>\nHello\n<|assistant|>\n";
        using LanguageModel plain = LanguageModel.Load(Stories, "cpu", template: "plain");
        string expected = plain.Generate(laidOut, options);
        ChatMessage[] messages = [new("system", "S"), new("user", "Hello")];
        Assert.Equal(expected.TrimStart(), model.Chat(messages, options).TrimStart());
        List<string> parts = [];
        await foreach (string part in model.ChatAsync(messages, options))
        {
            parts.Add(part);
        }

        Assert.Equal(model.Chat(messages, options), string.Concat(parts));
        Assert.Contains("expected at least one", Assert.Throws<UserException>(() => model.Chat([])).Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void The_loss_of_a_text_is_the_golden_one()
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        using JsonDocument golden = Golden();
        int[] ids = [.. golden.RootElement.GetProperty("ids").EnumerateArray().Take(48).Select(id => id.GetInt32())];
        double[] nll = [.. golden.RootElement.GetProperty("nll").EnumerateArray().Take(48).Select(loss => loss.GetDouble())];
        string text = GoldenText(model, 48).TrimStart(), prompt = text[.."Once upon a time,".Length];

        DataLoss loss = model.LossOf([new TrainingExample(prompt, text[prompt.Length..])]);
        IReadOnlyList<TokenLoss> tokens = Assert.Single(loss.Examples);
        Assert.Equal([1, .. ids], tokens.Take(49).Select(t => t.Id));
        Assert.All(nll.Zip(tokens.Skip(1)), pair => Assert.Equal(pair.First, pair.Second.Loss, 1e-4));
        Assert.Equal(text, string.Concat(tokens.Skip(1).Take(48).Select(t => t.Text)).TrimStart());
        int first = tokens.TakeWhile(t => !t.IsResponse).Count();
        Assert.Equal(prompt, string.Concat(tokens.Take(first).Skip(1).Select(t => t.Text)).TrimStart());
        Assert.Equal(tokens.Count - first, loss.ResponseTokens);
        Assert.Equal(tokens.Skip(first).Average(t => (double)t.Loss), loss.Mean, 1e-9);

        using LanguageModel other = LanguageModel.Load(Stories, "cpu");
        Assert.Contains("score", Assert.Throws<UserException>(() => model.ScoreTokens(
            other, s_examples,
            new TrainingOptions { TokenForgetting = new TokenForgettingSettings { Score = ScoreKind.Influence } })).Message,
            StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData(0)]
    [InlineData(4)]
    public void Fine_tuning_on_objects_leaves_what_the_command_writes(int rank)
    {
        TrainingExample.WriteFile(_folder["train.jsonl"], s_examples);
        string adapterRank = rank.ToString(System.Globalization.CultureInfo.InvariantCulture);
        CommandResult tuned = CommandResult.Of(
            "tune", "--model", Stories, "--data", _folder["train.jsonl"], "--out", _folder["tune"], "--method", "full", "--batch-size", "3",
            "--learning-rate", "1e-3", "--lora-rank", adapterRank, "--device", "cpu");
        Assert.True(tuned.ExitCode == 0, tuned.Error);

        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        double before = model.LossOf(s_examples).Mean;
        FineTuneResult result = model.FineTune(s_examples, Options(rank));
        Assert.Equal(result.Summary.Steps, result.Metrics.Count);
        Assert.Equal(StepMetrics.Read(_folder["tune", "metrics.jsonl"]).Select(m => m.Loss), result.Metrics.Select(m => m.Loss));
        Assert.StartsWith("<!DOCTYPE html>", File.ReadAllText(result.ReportPath), StringComparison.OrdinalIgnoreCase);
        double after = model.LossOf(s_examples).Mean;
        Assert.True(after < before - 0.01, $"{before} → {after}");

        model.Save(_folder["saved"]);
        Assert.Equal(
            File.ReadAllBytes(_folder["tune", "model/model.safetensors"]), File.ReadAllBytes(_folder["saved", "model.safetensors"]));
        Assert.Equal(File.ReadAllText(_folder["tune", "model/config.json"]), File.ReadAllText(_folder["saved", "config.json"]));
        if (rank == 0)
        {
            Assert.Contains(
                "has no adapter", Assert.Throws<UserException>(() => model.SaveAdapter(_folder["adapter"])).Message,
                StringComparison.Ordinal);
        }
        else
        {
            model.SaveAdapter(_folder["adapter"]);
            Assert.Equal(
                File.ReadAllBytes(_folder["tune", "adapter/adapter_model.safetensors"]),
                File.ReadAllBytes(_folder["adapter", "adapter_model.safetensors"]));
        }

        string records = result.Folder;
        Assert.True(Directory.Exists(records));
        model.Dispose();
        Assert.False(Directory.Exists(records));
    }

    [SharedDataFact]
    public void What_cannot_be_tuned_is_refused_by_name_and_leaves_model_and_folder_as_they_were()
    {
        using LanguageModel model = LanguageModel.Load(Stories, "cpu");
        string text = model.Generate("Once", new GenerationOptions { MaxNewTokens = 8 });
        TrainingOptions options = Options(0) with { Out = _folder["run"] };
        Refused("learning-rate", options with { Optimizer = options.Optimizer with { LearningRate = -1 } });
        Refused("model", options with { Model = "other" });
        Refused("device", options with { Compute = options.Compute with { Device = "cuda:1" } });
        Assert.False(File.Exists(_folder["run", "data.jsonl"]));

        _folder.Write("run/data.jsonl", "mine");
        Refused("data.jsonl", options);
        Assert.Equal("mine", File.ReadAllText(_folder["run", "data.jsonl"]));
        File.Delete(_folder["run", "data.jsonl"]);

        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(
            () => model.FineTune(s_examples, options, new Watch(source.Cancel), cancellation: source.Token));
        Assert.Equal(text, model.Generate("Once", new GenerationOptions { MaxNewTokens = 8 }));
        Refused("holds a run", options);
        FineTuneResult resumed = model.FineTune(s_examples, options, resume: true);
        Assert.Equal(model.Path, _folder["run", "model"]);

        using LanguageModel other = LanguageModel.Load(Stories, "cpu");
        Assert.Equal(
            other.FineTune(_folder["run", "data.jsonl"], Options(0)).Metrics.Select(m => m.Loss), resumed.Metrics.Select(m => m.Loss));

        void Refused(string named, TrainingOptions wrong) =>
            Assert.Contains(named, Assert.Throws<UserException>(() => model.FineTune(s_examples, wrong)).Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Scores_and_information_are_those_of_the_commands()
    {
        TrainingExample.WriteFile(_folder["train.jsonl"], s_examples);
        using LanguageModel model = LanguageModel.Load(Stories, "cpu"), reference = LanguageModel.Load(Stories, "cpu");
        reference.FineTune(s_examples, Options(0) with { Out = _folder["reference"] });
        DataScores scores = model.ScoreTokens(reference, s_examples);
        scores.Save(_folder["scores.jsonl"]);
        CommandResult score = CommandResult.Of(
            "score", "--model", Stories, "--reference", _folder["reference", "model"], "--data", _folder["train.jsonl"], "--out",
            _folder["expected.jsonl"], "--device", "cpu");
        Assert.True(score.ExitCode == 0, score.Error);
        Assert.Equal(File.ReadAllText(_folder["expected.jsonl"]), File.ReadAllText(_folder["scores.jsonl"]));
        TokenScore[] response = [.. scores.Examples.SelectMany(e => e).Where(t => t.IsResponse)];
        Assert.Equal((int)Math.Floor(0.7m * response.Length), response.Count(t => t.Sign == 1));
        Assert.All(response, t => Assert.Equal(t.BaseLoss - t.ReferenceLoss, t.Influence));

        IReadOnlyList<TensorInformation> information = model.FisherInformation(s_examples, _folder["fisher.safetensors"]);
        CommandResult fisher = CommandResult.Of(
            "fisher", "--model", Stories, "--data", _folder["train.jsonl"], "--out", _folder["expected.safetensors"], "--device", "cpu");
        Assert.True(fisher.ExitCode == 0, fisher.Error);
        Assert.Equal(File.ReadAllBytes(_folder["expected.safetensors"]), File.ReadAllBytes(_folder["fisher.safetensors"]));
        Assert.Equal(model.ParameterCount, information.Sum(tensor => tensor.Count));
        Assert.All(information, tensor => Assert.True(tensor.Sum >= 0));
    }

    private static TrainingOptions Options(int rank) => new()
    {
        Method = TrainingMethod.Full,
        Schedule = new ScheduleSettings { BatchSize = 3 },
        Optimizer = new OptimizerSettings { LearningRate = 1e-3 },
        Lora = new LoraSettings { Rank = rank },
    };

    private static JsonDocument Golden() => JsonDocument.Parse(File.ReadAllText(SharedData.Path("stories260K", "golden_greedy.json")));

    private static string GoldenText(LanguageModel model, int tokens)
    {
        using JsonDocument golden = Golden();
        int[] ids = [.. golden.RootElement.GetProperty("ids").EnumerateArray().Take(tokens).Select(id => id.GetInt32())];
        return Forgetting.Text.Tokenizers.Tokenizer.Load(model.Path).Decode(ids);
    }

    private sealed class Watch(Action stop) : ITrainingObserver
    {
        public void StepDone(StepMetrics metrics, int steps) => stop();
    }
}
