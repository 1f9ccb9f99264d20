using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>Real runs that are evaluated on benchmark tasks while they train: stories260K on questions about fictitious authors.</summary>
public sealed class TuneEvaluationTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    // On what is being learnt the probability rises, so the lowest is that of the first evaluation.
    [SharedDataTheory]
    [InlineData(0, BestKind.Auto, 6)]
    [InlineData(0, BestKind.Low, 2)]
    [InlineData(4, BestKind.Low, 2)]
    public void The_best_model_is_kept_and_scores_what_the_run_says(int rank, BestKind kind, int bestStep)
    {
        TrainingOptions options = Options(rank);
        options = options with { Evaluation = options.Evaluation with { Best = kind } };
        TuneRun.Execute(options with
        {
            Out = _folder["plain"],
            Evaluation = options.Evaluation with
            {
                Tasks = [],
                Every = 0,
                Metric = null,
                DataDir = null,
                Limit = null,
                Best = BestKind.Auto,
            },
        }, _backend);
        TuneSummary summary = TuneRun.Execute(options with { Out = _folder["run"] }, _backend);
        Assert.Equal(
            File.ReadAllBytes(_folder["plain", "model/model.safetensors"]), File.ReadAllBytes(_folder["run", "model/model.safetensors"]));

        StepMetrics[] evaluated = [.. StepMetrics.Read(_folder["run", "metrics.jsonl"]).Where(m => m.Evaluation != null)];
        Assert.Equal([2, 4, 6], evaluated.Select(m => m.Step));
        Assert.All(
            evaluated, m => Assert.Equal(["tofu_forget_probability/probability", "tofu_forget_rouge/rougeL_recall"], m.Evaluation!.Keys));
        Assert.Equal((bestStep, "tofu_forget_probability/probability"), (summary.Best!.Step, summary.Best.Metric));
        Assert.Equal(evaluated.Single(m => m.Step == bestStep).Evaluation![summary.Best.Metric], summary.Best.Value);
        Assert.Equal(summary.Best, TuneSummary.Read(_folder["run"]).Best);

        // Merging rounds.
        double tolerance = rank == 0 ? 0 : 1e-5;
        Assert.Equal(summary.Best.Value, Probability(_folder["run", "model-best"], null), tolerance);
        Assert.Equal(evaluated[^1].Evaluation![summary.Best.Metric], Probability(_folder["run", "model"], null), tolerance);
        Assert.Equal(rank > 0, Directory.Exists(_folder["run", "adapter-best"]));
        if (rank > 0)
            Assert.Equal(summary.Best.Value, Probability(options.Model, _folder["run", "adapter-best"]));
    }

    [SharedDataTheory]
    [InlineData(0)]
    [InlineData(4)]
    public void A_run_that_was_ended_anywhere_keeps_the_same_best_model(int rank)
    {
        TrainingOptions options = Options(rank);
        options = options with { Checkpoints = options.Checkpoints with { Every = 1 } };
        TuneSummary whole = TuneRun.Execute(options with { Out = _folder["whole"] }, _backend);

        // In the first evaluation, then in a step after it: there the process dies without a word.
        TrainingOptions ended = options with { Out = _folder["ended"], Checkpoints = options.Checkpoints with { Every = 3 } };
        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(
            () => TuneRun.Execute(ended, _backend, observer: new Watch(evaluation: source.Cancel), cancellation: source.Token));
        Assert.Throws<InvalidOperationException>(() => TuneRun.Execute(ended, _backend, resume: true, observer: new Watch(step: 5)));
        Directory.CreateDirectory(_folder["ended", ".model-best.aaaaaaaa.bbb.tmp"]);
        TuneSummary resumed = TuneRun.Execute(ended, _backend, resume: true);

        Assert.Equal(whole.Best, resumed.Best);
        Assert.Equal(
            StepMetrics.Read(_folder["whole", "metrics.jsonl"]).Select(m => (m.Step, m.Loss, Values(m))),
            StepMetrics.Read(_folder["ended", "metrics.jsonl"]).Select(m => (m.Step, m.Loss, Values(m))));
        foreach (string file
            in new[] { "model/model.safetensors", "model-best/model.safetensors", "adapter-best/adapter_model.safetensors" }.Where(
                f => rank > 0 || !f.StartsWith('a')))
        {
            Assert.Equal(File.ReadAllBytes(_folder["whole", file]), File.ReadAllBytes(_folder["ended", file]));
        }

        Assert.Empty(Directory.GetDirectories(_folder["ended"], ".*.tmp"));
        Assert.Contains("eval-limit was \"3\", found \"4\"", Assert.Throws<UserException>(
            () => TuneRun.Execute(ended with { Evaluation = ended.Evaluation with { Limit = 4 } }, _backend, resume: true)).Message,
            StringComparison.Ordinal);
    }

    [SharedDataTheory]
    [InlineData("tofu_forget_probability,boolqq", null, "no task \"boolqq\"; expected one of")]
    [InlineData("tofu_forget_probability,medmcqa_dental", null, "no file for task medmcqa_dental")]
    [InlineData("qasc", "f1", "eval-metric is f1, expected one of qasc/acc, qasc/acc_norm")]
    [InlineData("gsm8k", "gsm8k/em", "expected one of gsm8k/exact_match,strict-match, gsm8k/exact_match,flexible-extract")]
    [InlineData("qasc,perplexity", null, "of qasc/acc, perplexity/word_perplexity some are better high and some low")]
    public void What_cannot_be_evaluated_costs_no_training(string tasks, string? metric, string expected)
    {
        TrainingOptions options = Options(0);
        options = options with
        {
            Evaluation = options.Evaluation with { Tasks = tasks.Split(','), Metric = metric, Limit = 1 },
            Out = _folder["run"],
        };
        if (tasks.Contains("perplexity", StringComparison.Ordinal))
        {
            foreach (string file in new[] { "dev.json" })
            {
                File.Copy(SharedData.Path("qasc", file), _folder.Write(file, ""), overwrite: true);
            }

            _folder.Write("a.txt", "Once upon a time");
            options = options with { Evaluation = options.Evaluation with { DataDir = _folder.Path } };
        }

        Assert.Contains(expected, Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend)).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    [Theory]
    [InlineData("eval-tasks is given without eval-data-dir", "boolq", null, 0, null)]
    [InlineData("eval-every is 5: it is used only with eval-tasks", "", "data", 5, null)]
    [InlineData("eval-metric is acc: it is used only with eval-tasks", "", null, 0, "acc")]
    [InlineData("eval-every is -1, expected", "boolq", "data", -1, null)]
    public void Settings_that_do_not_fit_are_named(string expected, string tasks, string? folder, int every, string? metric)
    {
        var options = new TrainingOptions
        {
            Evaluation = new()
            {
                Tasks = tasks.Split(',', StringSplitOptions.RemoveEmptyEntries),
                DataDir = folder,
                Every = every,
                Metric = metric,
            },
        };
        Assert.StartsWith(expected, Assert.Throws<UserException>(options.Validate).Message, StringComparison.Ordinal);
    }

    private static string Values(StepMetrics metrics) => string.Join(' ', metrics.Evaluation ?? new Dictionary<string, double>());

    private double Probability(string path, string? adapter)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend, adapter: adapter);
        return new Evaluator(model, new EvaluationOptions { DataFolder = SharedData.Folder!, Limit = 3, BatchTokens = 600 })
            .Run(new TaskLibrary(), "tofu_forget_probability").Metrics[0].Value;
    }

    private TrainingOptions Options(int rank) => new()
    {
        Model = SharedData.Path("stories260K", "hf"),
        Data = new()
        {
            Path = _folder.Write("data.jsonl", string.Join('\n', File.ReadLines(SharedData.Path("tofu", "forget05.json")).Take(12))),
            PromptField = "question",
            CompletionField = "answer",
        },
        Method = TrainingMethod.Full,
        Schedule = new() { Steps = 6, BatchSize = 6, WarmupRatio = 0 },
        Lora = new() { Rank = rank },
        Optimizer = new() { LearningRate = 5e-3 },
        Compute = new() { MicroBatchTokens = 600 },
        Evaluation = new()
        {
            Tasks = ["tofu_forget_probability", "tofu_forget_rouge"],
            Metric = "probability",
            DataDir = SharedData.Folder!,
            Every = 2,
            Limit = 3,
        },
    };

    /// <summary>Does something in the first evaluation, or dies after a step.</summary>
    private sealed class Watch(Action? evaluation = null, int step = 0) : ITrainingObserver
    {
        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total) => evaluation?.Invoke();

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
