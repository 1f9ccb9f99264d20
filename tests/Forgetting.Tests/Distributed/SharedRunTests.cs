using Forgetting.Backends.Cpu;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>Runs with all their stages on several ranks are those on one, within rounding.</summary>
public sealed class SharedRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [SharedDataTheory]
    [InlineData("forget")]
    [InlineData("confidence")]
    [InlineData("npo")]
    public void Stages_and_evaluations_are_shared(string kind)
    {
        TuneSummary one = Run(1, Options(kind, "one"))[0];
        TuneSummary[] many = Run(2, Options(kind, "many"));
        Assert.Equal(2, many.Length);
        foreach (TuneSummary summary in many)
        {
            DataParallelTests.Close(one.Outcome!.LearntAfter, summary.Outcome!.LearntAfter);
            DataParallelTests.Close(one.Unlearning?.LossAfter, summary.Unlearning?.LossAfter);
            Assert.Equal((one.PositiveTokens, one.NegativeTokens), (summary.PositiveTokens, summary.NegativeTokens));
        }

        StepMetrics[] expected = Metrics("one"), found = Metrics("many");
        Assert.Equal(expected.Length, found.Length);
        foreach ((StepMetrics e, StepMetrics f) in expected.Zip(found))
        {
            DataParallelTests.Close(e.PositiveLoss, f.PositiveLoss);
            DataParallelTests.Close(e.NegativeLoss, f.NegativeLoss);
            DataParallelTests.Close(e.ForgetLoss, f.ForgetLoss);
            DataParallelTests.Close(e.HeldOutLoss, f.HeldOutLoss);
        }

        Assert.NotNull(found[^1].HeldOutLoss);
        if (kind != "confidence")
            return;

        Assert.Equal(
            File.ReadAllText(_folder["one", "lwf/elicited.jsonl"]), File.ReadAllText(_folder["many", "lwf/elicited.jsonl"]));
        Assert.Equal(Selected("one"), Selected("many"));
        Assert.Equal(Files("one"), Files("many"));
    }

    private static TuneSummary[] Run(int ranks, TrainingOptions options) => ThreadRanks.Run(ranks, communicator =>
    {
        using var backend = new CpuBackend(1);
        return TuneRun.Execute(options, backend, communicator: communicator);
    });

    private StepMetrics[] Metrics(string run) => [.. StepMetrics.Read(_folder[run, "metrics.jsonl"])];

    private IEnumerable<bool> Selected(string run) =>
        IO.JsonLines.Read<SelectionRecord>(_folder[run, "lwf/selection.jsonl"]).Select(r => r.Selected);

    private IEnumerable<string> Files(string run) => Directory.EnumerateFiles(_folder[run], "*", SearchOption.AllDirectories)
        .Select(file => Path.GetRelativePath(_folder[run], file)).Order();

    private TrainingOptions Options(string kind, string name)
    {
        var options = new TrainingOptions
        {
            Model = SharedData.Path("stories260K", "hf"),
            Out = _folder[name],
            Method = TrainingMethod.Full,
            Data = new() { Path = Lines("data.jsonl", 0, 16), PromptField = "question", CompletionField = "answer" },
            Schedule = new() { Steps = 6, BatchSize = 4 },
            Optimizer = new() { LearningRate = 1e-3 },
            Lora = new() { Rank = 0 },
            Compute = new() { MicroBatchTokens = 400 },
            Evaluation = new() { ValidData = Lines("valid.jsonl", 16, 6), Every = 3 },
        };
        return kind switch
        {
            "forget" => options with
            {
                Method = TrainingMethod.Forget,
                TokenForgetting = new() { ReferenceFraction = 0.5, Lambda = LambdaKind.Constant, LambdaMax = 0.1, ReferenceQuality = true },
            },
            "npo" => options with
            {
                Method = TrainingMethod.Unlearn,
                Data = new() { PromptField = "question", CompletionField = "answer" },
                ForgetSet = new()
                {
                    ForgetData = options.Data.Path, RetainData = Lines("retain.jsonl", 22, 8), Objective = ForgetObjective.Npo,
                },
            },
            _ => options with
            {
                Method = TrainingMethod.Lwf,
                Unlearning = new()
                {
                    Prompts = [Lines("prompts.jsonl", 30, 8)], MaxNewTokens = 8, Interval = 2, BatchSize = 2,
                    SelectBy = SelectionMeasure.Confidence,
                },
            },
        };
    }

    private string Lines(string name, int from, int count) =>
        _folder.Write(name, string.Join('\n', File.ReadLines(SharedData.Path("tofu", "retain90.json")).Skip(from).Take(count)));
}
