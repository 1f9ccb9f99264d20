using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

/// <summary>
/// The whole method on stories260K: learning about fictitious authors, forgetting what it makes of grade-school problems and reviews.
/// </summary>
public sealed class LwfRunTests : IDisposable
{
    private static readonly string[] s_results =
    [
        "lwf/elicited.jsonl", "lwf/learned/model/model.safetensors", "lwf/fisher.safetensors", "lwf/confidence.jsonl",
        "lwf/selection.jsonl", "lwf/stages.jsonl", "run.yaml", "metrics.jsonl", "summary.json", "model/model.safetensors",
    ];

    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    // Two forward passes a sample: what the file says is the difference of the losses that the base and the learned model give, and the
    // samples of the largest are unlearnt.
    [SharedDataFact]
    public void Samples_are_ranked_by_how_much_fine_tuning_raised_their_loss()
    {
        TrainingOptions options = Options();
        options = options with { Out = _folder["run"], Unlearning = options.Unlearning with { SelectBy = SelectionMeasure.Increase } };
        UnlearningSummary unlearning = TuneRun.Execute(options, _backend).Unlearning!;
        Assert.Equal(["elicit", "learn", "increase"], unlearning.Stages.Select(s => s.Name));
        Assert.False(File.Exists(_folder["run", "lwf/fisher.safetensors"]));

        double[] before = Losses(options.Model), after = Losses(_folder["run", "lwf/learned/model"]);
        IReadOnlyList<IncreaseRecord> records = MeasuredIncrease.Read(_folder["run", "lwf/increase.jsonl"]);
        Assert.All(records, (r, i) => Assert.Equal(
            (i, after[i] - before[i]), (r.Index, Math.Round(r.Increase, 12)),
            (x, y) => x.Item1 == y.Item1 && Math.Abs(x.Item2 - y.Item2) < 1e-5));
        SelectionRecord[] selection = [.. SelectionRecord.Read(_folder["run", "lwf/selection.jsonl"])];
        Assert.Equal(unlearning.Selected, selection.Count(s => s.Selected));
        Assert.True(selection.Where(s => s.Selected).Min(s => s.Increase) >= selection.Where(s => !s.Selected).Max(s => s.Increase));

        double[] Losses(string model)
        {
            using LoadedModel loaded = LoadedModel.Load(model, _backend);
            IReadOnlyList<EncodedExample> samples = ExampleLoader.Load(
                _folder["run", "lwf/elicited.jsonl"], loaded.Tokenizer, loaded.Decoder.Config, new TrainingOptions { Model = model });
            return [.. samples.Select(s => Scorer.ResponseMean([s], Scorer.Losses(loaded.Decoder, [s], 4096, allTokens: false)).Mean)];
        }
    }

    [SharedDataFact]
    public void Every_stage_leaves_its_file_and_what_is_selected_is_unlearnt()
    {
        TrainingOptions options = Options() with { Out = _folder["run"] };
        options = options with { Unlearning = options.Unlearning with { Fraction = 0.25 } };
        TuneSummary summary = TuneRun.Execute(options, _backend);
        Assert.All(s_results, left => Assert.True(File.Exists(_folder["run", left]), left));
        UnlearningSummary unlearning = summary.Unlearning!;
        Assert.Equal((24, 6), (unlearning.Elicited, unlearning.Selected));
        Assert.Equal(["elicit", "learn", "fisher", "confidence"], unlearning.Stages.Select(s => s.Name));
        Assert.All(unlearning.Stages, s => Assert.True(s is { Seconds: > 0, PeakMemoryBytes: > 1 << 20 }));

        // The highest quarter, of both tasks' samples, in the order of the file.
        IReadOnlyList<SelectionRecord> selection = SelectionRecord.Read(_folder["run", "lwf/selection.jsonl"]);
        Assert.Equal([.. Enumerable.Repeat("problems", 12), .. Enumerable.Repeat("reviews", 12)], selection.Select(s => s.Task));
        Assert.Equal(selection.OrderByDescending(s => s.Confidence).Take(6).Select(s => s.Index).Order(), selection.Where(s => s.Selected)
            .Select(s => s.Index));
        Assert.Equal(selection.Where(s => s.Selected).Min(s => s.Confidence), unlearning.Cut);

        // Seen every three steps; worse than before, and worse than ordinary fine-tuning leaves them.
        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(_folder["run", "metrics.jsonl"]);
        Assert.Equal([4, 7, 10, 13], metrics.Where(m => m.Unlearned != null).Select(m => m.Step).Take(4));
        int[] selected = [.. selection.Where(s => s.Selected).Select(s => s.Index)];
        Assert.All(metrics.SelectMany(m => m.Unlearned ?? []), index => Assert.Contains(index, selected));
        double before = Loss(options.Model, selected), ordinary = Loss(_folder["run", "lwf/learned/model"], selected),
            after = Loss(_folder["run", "model"], selected);
        Assert.True(after > before && after > ordinary, $"{before} → {after}; {ordinary} after ordinary fine-tuning");
        Assert.True(metrics[^1].PositiveLoss < metrics[0].PositiveLoss - 0.3, $"{metrics[0].PositiveLoss} → {metrics[^1].PositiveLoss}");
    }

    [SharedDataFact]
    public void Finished_stages_are_not_done_again()
    {
        TrainingOptions options = Options();
        options = options with { Out = _folder["run"], Schedule = options.Schedule with { Steps = 4 } };
        TuneSummary first = TuneRun.Execute(options, _backend);
        Dictionary<string, DateTime> times = s_results.Take(4).ToDictionary(f => f, f => File.GetLastWriteTimeUtc(_folder["run", f]));
        byte[] model = File.ReadAllBytes(_folder["run", "model/model.safetensors"]);

        // As after a loss of everything but the stages, and of the last of them.
        Directory.Delete(_folder["run", "checkpoints"], recursive: true);
        File.Delete(_folder["run", "metrics.jsonl"]);
        File.Delete(_folder["run", "lwf/confidence.jsonl"]);
        TuneSummary again = TuneRun.Execute(options, _backend, resume: true);
        Assert.All(
            times.Where(t => !t.Key.EndsWith("confidence.jsonl", StringComparison.Ordinal)),
            t => Assert.Equal(t.Value, File.GetLastWriteTimeUtc(_folder["run", t.Key])));
        Assert.Equal(model, File.ReadAllBytes(_folder["run", "model/model.safetensors"]));
        Assert.Equal(first.Unlearning!.Stages.Take(3), again.Unlearning!.Stages.Take(3));

        // Other prompts are another run: refused by name, with everything left as it is.
        File.AppendAllText(options.Unlearning.Prompts[0], "\n{\"question\":\"Why?\"}");
        UserException error = Assert.Throws<UserException>(() => TuneRun.Execute(options, _backend, resume: true));
        Assert.Contains(
            $"forget-prompts {options.Unlearning.Prompts[0]} has changed since the run began", error.Message, StringComparison.Ordinal);
        Assert.Equal(times["lwf/elicited.jsonl"], File.GetLastWriteTimeUtc(_folder["run", "lwf/elicited.jsonl"]));
        Assert.Equal(model, File.ReadAllBytes(_folder["run", "model/model.safetensors"]));
    }

    [SharedDataFact]
    public void Stages_that_another_run_has_finished_are_copied()
    {
        TrainingOptions options = Options();
        options = options with { Schedule = options.Schedule with { Steps = 4 } };
        string[] grid = [_folder["none"], _folder["first"], _folder["second"], _folder["third"], _folder["fourth"]];
        TuneRun.Execute(options with { Out = grid[1] }, _backend, others: grid);

        // Settings of unlearning alone: all stages are the first run's, and the run is what it is on its own.
        TrainingOptions other = options with
        {
            Unlearning = options.Unlearning with
            {
                Select = SelectionKind.Low,
                Schedule = UnlearningScheduleKind.Upfront,
                Interval = 2,
                Weight = 0.1,
            },
        };
        TuneSummary shared = TuneRun.Execute(other with { Out = grid[2] }, _backend, others: grid);
        Assert.All(shared.Unlearning!.Stages, s => Assert.True(s.Reused));
        Assert.All(s_results, left => Assert.True(File.Exists(_folder["second", left]), left));
        TuneSummary alone = TuneRun.Execute(other with { Out = _folder["alone"] }, _backend);
        Assert.All(alone.Unlearning!.Stages, s => Assert.Null(s.Reused));
        foreach (string file in new[] { "lwf/selection.jsonl", "model/model.safetensors" })
        {
            Assert.Equal(File.ReadAllBytes(_folder["alone", file]), File.ReadAllBytes(_folder["second", file]));
        }

        // Another seed learns another θ_L, on which Fisher information and confidence depend; another α concerns the confidence alone.
        Assert.Equal(
            [("elicit", true), ("learn", null), ("fisher", null), ("confidence", null)], Reused(options with { Seed = 5, Out = grid[3] }));
        Assert.Equal(
            [("elicit", true), ("learn", true), ("fisher", true), ("confidence", null)],
            Reused(options with { Unlearning = options.Unlearning with { Alpha = 0.5 }, Out = grid[4] }));

        (string, bool?)[] Reused(TrainingOptions settings) =>
            [.. TuneRun.Execute(settings, _backend, others: grid).Unlearning!.Stages.Select(s => (s.Name, s.Reused))];
    }

    [SharedDataFact]
    public void Stages_can_be_given_and_methods_composed()
    {
        TrainingOptions options = Options();
        options = options with { Schedule = options.Schedule with { Steps = 4 } };
        TuneRun.Execute(options with { Out = _folder["whole"] }, _backend);

        // All stages from elsewhere: the same training.
        TrainingOptions given = options with
        {
            Unlearning = options.Unlearning with
            {
                Prompts = [],
                Elicited = _folder["whole", "lwf/elicited.jsonl"],
                Learned = _folder["whole", "lwf/learned/model"],
                Fisher = _folder["whole", "lwf/fisher.safetensors"],
                MaxNewTokens = new TrainingOptions().Unlearning.MaxNewTokens,
            },
            Out = _folder["given"],
        };
        TuneSummary summary = TuneRun.Execute(given, _backend);
        Assert.Equal(["confidence"], summary.Unlearning!.Stages.Select(s => s.Name));
        Assert.Equal(
            File.ReadAllBytes(_folder["whole", "model/model.safetensors"]), File.ReadAllBytes(_folder["given", "model/model.safetensors"]));

        // Negative tokens of the learning data and D_U in one run; a choice at random needs no confidence.
        TuneSummary both = TuneRun.Execute(given with
        {
            Method = TrainingMethod.Forget,
            Unlearning = given.Unlearning with { Select = SelectionKind.Random },
            TokenForgetting = given.TokenForgetting with { Ascent = AscentKind.Npo },
            Out = _folder["both"],
            Optimizer = given.Optimizer with { Regularizer = RegularizerKind.Bss },
        }, _backend);
        Assert.Empty(both.Unlearning!.Stages);
        Assert.Null(both.Unlearning.Cut);
        Assert.True(both.NegativeTokens > 0);
        StepMetrics unlearned = StepMetrics.Read(_folder["both", "metrics.jsonl"]).Single(m => m.Unlearned != null);
        Assert.NotNull(unlearned.NegativeLoss);
        Assert.True(unlearned is { ForgetLoss: > 0, Regularizer: > 0 });
    }

    [SharedDataFact]
    public void With_an_adapter_the_base_is_the_model_with_it()
    {
        TrainingOptions options = Options();
        options = options with { Schedule = options.Schedule with { Steps = 4 } };
        TuneRun.Execute((options with
        {
            Method = TrainingMethod.Full,
            Unlearning = options.Unlearning with { Prompts = [] },
            Optimizer = options.Optimizer with { LearningRate = 2e-2 },
            Out = _folder["first"],
        }).WithoutUnused(), _backend);
        TuneRun.Execute(options with { Out = _folder["plain"] }, _backend);

        // The run continues the adapter; what it elicits and how it ranks that is as if the adapter had been merged first.
        TrainingOptions given = options with
        {
            Unlearning = options.Unlearning with
            {
                Learned = _folder["plain", "lwf/learned/model"],
                Fisher = _folder["plain", "lwf/fisher.safetensors"],
            },
        };
        TuneRun.Execute(given with { Adapter = _folder["first", "adapter"], Out = _folder["continued"] }, _backend);
        TuneRun.Execute(given with { Model = _folder["first", "model"], Out = _folder["merged"] }, _backend);
        byte[] elicited = File.ReadAllBytes(_folder["merged", "lwf/elicited.jsonl"]);
        Assert.Equal(elicited, File.ReadAllBytes(_folder["continued", "lwf/elicited.jsonl"]));
        Assert.NotEqual(elicited, File.ReadAllBytes(_folder["plain", "lwf/elicited.jsonl"]));
        foreach ((ConfidenceRecord found, ConfidenceRecord expected) in ConfidenceRecord.Read(
            _folder["continued", "lwf/confidence.jsonl"], 24).Zip(ConfidenceRecord.Read(_folder["merged", "lwf/confidence.jsonl"], 24)))
        {
            Assert.Equal(1, found.Constant / expected.Constant, 1e-4);
            Assert.Equal(1, found.Linear / expected.Linear, 1e-3);
            Assert.Equal(1, found.Quadratic / expected.Quadratic, 1e-3);
        }

        // θ_L begins at the adapter too.
        TuneRun.Execute(options with
        {
            Adapter = _folder["first", "adapter"],
            Optimizer = options.Optimizer with { LearningRate = 1e-12 },
            Out = _folder["still"],
        }, _backend);
        Assert.All(ConfidenceRecord.Read(_folder["still", "lwf/confidence.jsonl"], 24), r => Assert.Equal(0, r.Constant, 1e-9));
    }

    private double Loss(string path, int[] selected)
    {
        using LoadedModel model = LoadedModel.Load(path, _backend);
        IReadOnlyList<EncodedExample> all =
            ExampleLoader.Load(_folder["run", "lwf/elicited.jsonl"], model.Tokenizer, model.Decoder.Config, new TrainingOptions());
        EncodedExample[] examples = [.. selected.Select(i => all[i])];
        return Scorer.ResponseMean(examples, Scorer.Losses(model.Decoder, examples, 2000, allTokens: false)).Mean;
    }

    private TrainingOptions Options() => new()
    {
        Method = TrainingMethod.Lwf,
        Model = SharedData.Path("stories260K", "hf"),
        Data = new() { Path = Lines("data", 24, "tofu", "forget05.json"), PromptField = "question", CompletionField = "answer" },
        Unlearning = new()
        {
            SelectBy = SelectionMeasure.Confidence,
            Prompts = [Lines("problems", 12, "gsm8k", "test.jsonl"), Lines("reviews", 12, "tofu", "world_facts_perturbed.json")],
            MaxNewTokens = 16,
            Interval = 3,
            BatchSize = 4,
        },
        Schedule = new() { Steps = 18, BatchSize = 8 },
        Lora = new() { Rank = 8 },
        Optimizer = new() { LearningRate = 5e-3 },
    };

    private string Lines(string name, int count, params string[] source) =>
        _folder.Write($"{name}.jsonl", string.Join('\n', File.ReadLines(SharedData.Path(source)).Take(count)));
}
