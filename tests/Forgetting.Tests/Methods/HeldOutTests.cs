using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>The loss of examples that a run does not train on: measured, compared, and the reason to stop.</summary>
public sealed class HeldOutTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataFact]
    public void The_held_out_loss_is_that_of_the_same_examples_scored_by_themselves()
    {
        TrainingOptions options = Options("run", 5e-3);
        TuneSummary summary = TuneRun.Execute(options, _backend);
        StepMetrics[] measured = [.. StepMetrics.Read(_folder["run", "metrics.jsonl"]).Where(m => m.HeldOutLoss != null)];
        Assert.Equal([2, 4, 6], measured.Select(m => m.Step));
        Assert.Equal(Loss(options.Model), summary.Valid!.Change.From, 1e-6);
        Assert.Equal(Loss(_folder["run", "model"]), summary.Valid.Change.To, 1e-6);
        Assert.Equal(measured[^1].HeldOutLoss!.Value, summary.Valid.Change.To, 1e-9);
        Assert.Equal((8, 8, "valid/loss"), (summary.Valid.Examples, HeldOutExample.Read(_folder["run"], 4).Count, summary.Best!.Metric));
        Assert.False(summary.StoppedEarly);

        // Training is what it is without held-out examples, reference stage and all.
        TuneRun.Execute(options with { Out = _folder["plain"], Evaluation = new() }, _backend);
        Assert.Equal(
            File.ReadAllBytes(_folder["plain", "model/model.safetensors"]), File.ReadAllBytes(_folder["run", "model/model.safetensors"]));
    }

    // A rate at which the model is only made worse: the best is the one before training, and two evaluations later the run ends.
    [SharedDataTheory]
    [InlineData(0, 0)]
    [InlineData(4, 0)]
    [InlineData(0, 3)]
    public void A_run_that_gets_no_better_stops_and_keeps_the_best_model(int rank, int killed)
    {
        TrainingOptions options = Options("run", rank == 0 ? 0.3 : 0.1) with
        {
            Lora = new() { Rank = rank },
            Schedule = Options("", 1).Schedule with { Steps = 40 },
            Evaluation = Options("", 1).Evaluation with { Patience = 2 },
            Checkpoints = new() { Every = 1 },
        };
        if (killed > 0)
            Assert.Throws<InvalidOperationException>(() => TuneRun.Execute(options, _backend, observer: new Killer(killed)));

        TuneSummary summary = TuneRun.Execute(options, _backend, resume: killed > 0);
        Assert.Equal((4, true, 0), (summary.Steps, summary.StoppedEarly, summary.Best!.Step));
        Assert.Equal([1, 2, 3, 4], StepMetrics.Read(_folder["run", "metrics.jsonl"]).Select(m => m.Step));
        Assert.Equal(Loss(options.Model), Loss(_folder["run", "model-best"]), 1e-6);
        Assert.True(Loss(_folder["run", "model"]) > Loss(options.Model) + 0.5);
        Assert.Contains("the training harmed the model", summary.Valid!.Verdict, StringComparison.Ordinal);

        // It has stopped, and resuming it does not change that.
        byte[] model = File.ReadAllBytes(_folder["run", "model/model.safetensors"]);
        Assert.Equal(4, TuneRun.Execute(options, _backend, resume: true).Steps);
        Assert.Equal(model, File.ReadAllBytes(_folder["run", "model/model.safetensors"]));
    }

    [SharedDataFact]
    public void Runs_of_two_methods_hold_out_the_same_examples_and_the_worse_is_named()
    {
        TrainingOptions good = Options("good", 5e-3) with { Evaluation = new() { ValidFraction = 0.5, Every = 3 } };
        TuneRun.Execute(good, _backend);
        TuneRun.Execute(
            good with
            {
                Out = _folder["bad"],
                Method = TrainingMethod.Forget,
                Optimizer = new() { LearningRate = 0.3 },
                TokenForgetting = new() { ReferenceFraction = 0.3 },
            }, _backend);

        ComparedRun[] runs = [ComparedRun.Read(_folder["good"]), ComparedRun.Read(_folder["bad"])];
        Assert.Equal(HeldOutExample.Read(_folder["good"], 0), HeldOutExample.Read(_folder["bad"], 0));
        Assert.Equal([6, 7], [runs[0].Summary.Valid!.Examples, runs[0].Summary.Examples]);
        IReadOnlyList<HeldOutComparison.Row> rows = CompareReport.HeldOut(runs);

        // By hand: the difference of the means over tokens, and of 2⁶ assignments of signs two are as extreme as all worse.
        IReadOnlyList<HeldOutExample> a = HeldOutExample.Read(_folder["good"], 6), b = HeldOutExample.Read(_folder["bad"], 6);
        double difference = a.Zip(b).Sum(p => p.First.Tokens * (p.Second.Loss - p.First.Loss)) / a.Sum(e => e.Tokens);
        HeldOutChange change = rows[1].Change!;
        Assert.Equal(difference, change.To - change.From, 1e-9);
        Assert.Equal((6, 6, 0, 2.0 / 64), (change.Examples, change.Worse, change.Better, change.PValue));
        Assert.Contains("it does harm here", HeldOutComparison.Notes(rows)[0], StringComparison.Ordinal);
        Assert.Contains("Held-out examples", CompareReport.Build(runs, []).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_change_is_weighted_by_tokens_and_pairs_examples_by_their_tokens()
    {
        HeldOutExample[] first = [new(0, "a", 1, 4), new(1, "b", 3, 2), new(2, "b", 3, 1), new(3, "c", 9, 1)];
        HeldOutExample[] second = [new(7, "b", 3, 3), new(8, "b", 3, 2), new(9, "a", 1, 6), new(10, "d", 9, 1)];
        HeldOutChange change = HeldOutChange.Between(first, second)!;
        Assert.Equal((4.0 + 6 + 3) / 7, change.From, 12);
        Assert.Equal((6.0 + 9 + 6) / 7, change.To, 12);
        Assert.Equal((3, 3, 0, 0.25), (change.Examples, change.Worse, change.Better, change.PValue));
        Assert.Null(HeldOutChange.Between(first, [new(0, "x", 1, 1)]));
    }

    [Theory]
    [InlineData("valid-data and valid-fraction are both given", "x", 0.5, 0)]
    [InlineData("valid-fraction is 1, expected", null, 1.0, 0)]
    [InlineData("patience is 2: it is used only with eval-every", "x", null, 2)]
    public void Settings_that_do_not_fit_are_named(string expected, string? file, double? fraction, int patience)
    {
        var options = new TrainingOptions { Evaluation = new() { ValidData = file, ValidFraction = fraction, Patience = patience } };
        Assert.StartsWith(expected, Assert.Throws<UserException>(options.Validate).Message, StringComparison.Ordinal);
    }

    [SharedDataFact]
    public void Held_out_examples_that_are_trained_on_are_counted()
    {
        TrainingOptions options = Options("run", 5e-3);
        string[] lines = [.. File.ReadLines(options.Evaluation.ValidData!), .. File.ReadLines(options.Data.Path).Take(2)];
        var killer = new Killer(1);
        Assert.Throws<InvalidOperationException>(() => TuneRun.Execute(
            options with { Evaluation = options.Evaluation with { ValidData = _folder.Write("both.jsonl", string.Join('\n', lines)) } },
            _backend, observer: killer));
        Assert.Contains("2 of the 10 held-out examples are trained on too", killer.Notices);
    }

    private double Loss(string model)
    {
        using LoadedModel loaded = LoadedModel.Load(model, _backend);
        TrainingOptions options = Options("", 1);
        IReadOnlyList<Forgetting.Data.EncodedExample> examples =
            ExampleLoader.Load(options.Evaluation.ValidData!, loaded.Tokenizer, loaded.Decoder.Config, options);
        return Scorer.ResponseMean(examples, Scorer.Losses(loaded.Decoder, examples, 300, allTokens: false)).Mean;
    }

    private TrainingOptions Options(string name, double learningRate) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Out = _folder[name],
        Method = TrainingMethod.Full,
        Data = new() { Path = Lines("data.jsonl", 0, 13), PromptField = "question", CompletionField = "answer" },
        Schedule = new() { Steps = 6, BatchSize = 4, WarmupRatio = 0 },
        Optimizer = new() { LearningRate = learningRate },
        Lora = new() { Rank = 0 },
        Compute = new() { MicroBatchTokens = 600 },
        Evaluation = new() { ValidData = Lines("valid.jsonl", 13, 8), Every = 2 },
    };

    private string Lines(string name, int from, int count) =>
        _folder.Write(name, string.Join('\n', File.ReadLines(SharedData.Path("tofu", "retain90.json")).Skip(from).Take(count)));

    /// <summary>Dies after a step, and remembers what was noticed.</summary>
    private sealed class Killer(int step) : ITrainingObserver
    {
        public List<string> Notices { get; } = [];

        public void Noticed(string what) => Notices.Add(what);

        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total)
        {
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
            if (metrics.Step == step)
                throw new InvalidOperationException("killed");
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
