using System.Diagnostics;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

/// <summary>Predicted memory against what the backend counted in whole runs of stories260K on full-length examples.</summary>
public sealed class MemoryPlanTests : IDisposable
{
    private readonly CpuBackend _backend = new();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [SharedDataTheory]
    [InlineData("full", 0, false)]
    [InlineData("full", 0, true)]
    [InlineData("full", 16, false)]
    [InlineData("forget", 16, true)]
    [InlineData("lwf", 0, false)]
    [InlineData("full", 0, false, RegularizerKind.Srs)]
    [InlineData("full", 16, true, RegularizerKind.Srs)]
    [InlineData("full", 16, false, RegularizerKind.Bss)]
    [InlineData("full", 16, false, RegularizerKind.None, "nf4")]
    [InlineData("forget", 16, false, RegularizerKind.None, "nf4")]
    public void A_run_takes_what_was_predicted(
        string method, int rank, bool recompute, RegularizerKind regularizer = RegularizerKind.None, string? baseDtype = null)
    {
        const int Length = 96;
        string model = SharedData.Path("stories260K", "hf");
        string words = string.Join(' ', Enumerable.Range(0, 80).Select(i => "story" + i));
        File.WriteAllLines(_folder["data.jsonl"], Enumerable.Range(0, 12)
            .Select(i => JsonSerializer.Serialize(new { prompt = "a", completion = words[i..] })));

        // As many as an elicitation takes at once.
        File.WriteAllLines(
            _folder["prompts.jsonl"], Enumerable.Range(0, 100).Select(i => JsonSerializer.Serialize(new { prompt = words[..140] })));
        var options = new TrainingOptions
        {
            Model = model,
            Data = new() { Path = _folder["data.jsonl"], MaxLength = Length },
            Out = _folder["run"],
            Method = TrainingMethod.Named(method),
            Lora = new() { Rank = rank, BaseDtype = baseDtype },
            Compute = new() { Recompute = recompute, MicroBatchTokens = 2 * Length, Products = _backend.Products },
            Schedule = new() { BatchSize = 4, Epochs = 2 },
            Optimizer = new() { Regularizer = regularizer },
            Unlearning = new()
            {
                Prompts = method == "lwf" ? [_folder["prompts.jsonl"]] : [],
                MaxNewTokens = 8,
                Interval = 2,
            },
        };
        options = options.WithoutUnused();
        TuneSummary summary = TuneRun.Execute(options, _backend);
        long device = summary.DeviceMemoryBytes;
        Assert.InRange(summary.PredictedMemoryBytes, 0.95 * device, 1.1 * device);

        // As inspect asks, without data; and the parts are parts of the whole.
        using Checkpoint source = Checkpoint.Open(model);
        MemoryPlan plan = MemoryPlan.Create(source.Config, options, _backend.Name, _backend.StorageType, TrainedModel.NewAdapter(options));
        Assert.InRange(plan.Peak, 0.95 * device, 1.1 * device);
        Assert.Equal(summary.ActivationBytes, plan.Activations, 0.1 * plan.Activations);
        // Gradients and two moments, and two more where unlearning steps have their own.
        Assert.Equal((method == "lwf" ? 20 : 12) * (rank == 0 ? summary.Parameters : summary.TrainableParameters), plan.State);

        // The rest are copies of the weights that products keep.
        Assert.InRange(plan.Stages[^1].Bytes - (plan.Weights + plan.State + plan.Activations), 0, 3 * plan.Weights);
    }

    // The longest example does not divide a micro-batch, and lengths are mixed: neither may the plan count fuller passes than there are,
    // nor the activations outgrow what is reserved.
    [SharedDataTheory]
    [InlineData("--method", "full", "--lora-rank", "0")]
    [InlineData("--method", "full")]
    [InlineData("--method", "full", "--base-dtype", "nf4")]
    [InlineData("--method", "full", "--dora", "true")]
    [InlineData("--method", "full", "--lora-rank", "0", "--optimizer", "adamw8bit")]
    [InlineData(
        "--method", "full", "--lora-rank", "0", "--optimizer", "adamw8bit", "--gradient-dtype", "bf16", "--no-masters", "true")]
    [InlineData("--method", "forget", "--steps", "3")]
    [InlineData("--method", "full", "--lora-rank", "0", "--eval-tasks", "boolq", "--eval-limit", "40")]
    public void A_process_has_resident_what_was_predicted(params string[] arguments)
    {
        var random = new Random(1);
        File.WriteAllLines(_folder["data.jsonl"], Enumerable.Range(0, 96).Select(i => JsonSerializer.Serialize(new
        {
            prompt = "a",
            completion = string.Join(' ', Enumerable.Range(0, random.Next(2, 120)).Select(_ => "story" + random.Next(100))),
        })));
        string[] common =
        [
            "tune", "--model", SharedData.Path("stories260K", "hf"), "--data", _folder["data.jsonl"], "--out", _folder["run"], "--steps",
            "2", "--batch-size", "24", "--max-length", "300", "--micro-batch-tokens", "2048", "--device", "cpu", "--template", "plain",
            .. arguments.Contains("--eval-tasks") ? ["--eval-data-dir", SharedData.Path("boolq")] : Array.Empty<string>(),
        ];
        Output([.. Merge(common, arguments)]);

        // What the system says of that process at its end, VmHWM; what was predicted stands beside it.
        TuneSummary summary = TuneSummary.Read(_folder["run"]);
        Assert.InRange(summary.PredictedMemoryBytes, 0.99 * summary.DeviceMemoryBytes, 1.02 * summary.DeviceMemoryBytes);
        Assert.InRange(summary.PredictedResidentBytes, 0.9 * summary.PeakMemoryBytes, 1.1 * summary.PeakMemoryBytes);
        if (arguments.Contains("--eval-tasks"))
            return;

        // inspect knows neither data nor evaluations; these data fill micro-batches as it supposes.
        using JsonDocument inspected = JsonDocument.Parse(Output(
            ["inspect", "--model", SharedData.Path("stories260K", "hf"), "--batch-size", "24", "--max-length", "300",
                "--micro-batch-tokens", "2048", "--device", "cpu", "--json", .. OfMemory(arguments)]));
        long resident = inspected.RootElement.GetProperty("memory").EnumerateArray()
            .Single(m => m.GetProperty("method").GetString() == arguments[1]
                && m.GetProperty("lora_rank").GetInt32() == (arguments.Contains("--lora-rank") ? 0 : 64))
            .GetProperty("memory").GetProperty("resident").GetInt64();
        Assert.InRange(resident, 0.9 * summary.PeakMemoryBytes, 1.1 * summary.PeakMemoryBytes);
    }

    // Of a process of its own.
    // What inspect has to know besides the method and the rank.
    private static IEnumerable<string> OfMemory(string[] arguments) =>
        arguments.Chunk(2)
            .Where(pair => pair[0] is "--base-dtype" or "--dora" or "--optimizer" or "--gradient-dtype" or "--no-masters")
            .SelectMany(pair => pair);

    private static string Output(string[] command)
    {
        using Process process =
            Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Forgetting.Cli.dll"), .. command])
            {
                RedirectStandardOutput = true,
            })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    // Options that are there twice count once, the later one.
    private static IEnumerable<string> Merge(string[] common, string[] own) =>
        common.Take(1).Concat(common.Skip(1).Concat(own).Chunk(2).GroupBy(pair => pair[0]).SelectMany(same => same.Last()));

    [Fact]
    public void A_plan_fills_micro_batches_that_examples_do_not_divide()
    {
        // 100 tokens are three examples of 30 and one of 10: as much as one of 100 has, but for the rows at the head
        // and three more numbers of each pass.
        ModelConfig config = Testing.Reference.ReferenceConfigs.All["llama"] with { ContextLength = 128 };
        var options = new TrainingOptions
        {
            Method = TrainingMethod.Full, Schedule = new() { BatchSize = 8 }, Lora = new() { Rank = 0 },
            Compute = new() { MicroBatchTokens = 100 },
        };
        long whole = Activations(options with { Data = new() { MaxLength = 100 } }),
            parts = Activations(options with { Data = new() { MaxLength = 30 } });
        Assert.InRange(parts, 0.97 * whole, whole);

        long Activations(TrainingOptions run) => MemoryPlan.Create(config, run, "cuda", Tensors.DType.Float32, null).Activations;
    }

    [Fact]
    public void Every_stage_of_every_method_is_planned_without_a_device()
    {
        ModelConfig config = Testing.Reference.ReferenceConfigs.All["llama"];
        var options =
            new TrainingOptions { Schedule = new() { BatchSize = 2 }, Data = new() { MaxLength = 16 }, Lora = new() { Rank = 2 } };
        Assert.Equal(["training"], Stages(options with { Method = TrainingMethod.Full }));
        Assert.Equal(["reference", "score", "training"], Stages(options with
        {
            Method = TrainingMethod.Forget,
            TokenForgetting = options.TokenForgetting with { Ascent = AscentKind.Npo, PartsEvery = 1 },
        }));
        Assert.Equal(
            ["score", "training"],
            Stages(options with { Method = TrainingMethod.Ignore, TokenForgetting = options.TokenForgetting with { Reference = "r" } }));
        Assert.Equal(
            ["training"],
            Stages(options with { Method = TrainingMethod.Ignore, TokenForgetting = options.TokenForgetting with { Scores = "s" } }));
        Assert.Equal(
            ["elicit", "learn", "fisher", "confidence", "training"],
            Stages(options with
            {
                Method = TrainingMethod.Lwf,
                Unlearning = options.Unlearning with
                {
                    Prompts = ["p"],
                    SelectBy = SelectionMeasure.Confidence,
                    FisherKind = FisherKind.True,
                },
                Optimizer = options.Optimizer with { Regularizer = RegularizerKind.Bss },
            }));
        Assert.Equal(
            ["elicit", "learn", "increase", "training"],
            Stages(options with { Method = TrainingMethod.Lwf, Unlearning = options.Unlearning with { Prompts = ["p"] } }));
        Assert.Equal(["elicit", "training"], Stages(options with
        {
            Method = TrainingMethod.Lwf,
            Unlearning = options.Unlearning with { Prompts = ["p"], Select = SelectionKind.Random },
        }));

        // Half the bytes in bfloat16 but Float32 masters; less with recomputation.
        MemoryPlan single =
            Plan(options with { Lora = options.Lora with { Rank = 0 }, Method = TrainingMethod.Full }, Tensors.DType.Float32),
            half = Plan(options with { Lora = options.Lora with { Rank = 0 }, Method = TrainingMethod.Full }, Tensors.DType.BFloat16);
        Assert.Equal(single.Weights, 2 * half.Weights);
        Assert.Equal(4 * single.State, 3 * half.State);
        Assert.True(Plan(options with { Compute = options.Compute with { Recompute = true } }, Tensors.DType.Float32).Activations
            < Plan(options, Tensors.DType.Float32).Activations);

        // Passes over the data fill a micro-batch whatever the size of a step.
        TrainingOptions lwf = options with
        {
            Method = TrainingMethod.Lwf,
            Unlearning = options.Unlearning with { Prompts = ["p"], SelectBy = SelectionMeasure.Confidence },
            Compute = options.Compute with { MicroBatchTokens = 64 },
        };
        MemoryPlan two = Plan(lwf, Tensors.DType.Float32),
            four = Plan(lwf with { Schedule = lwf.Schedule with { BatchSize = 4 } }, Tensors.DType.Float32);
        Assert.Equal(
            four.Stages.Where(s => s.Stage is "fisher" or "confidence"), two.Stages.Where(s => s.Stage is "fisher" or "confidence"));
        Assert.True(two.Activations < four.Activations);

        string[] Stages(TrainingOptions run) => [.. Plan(run, Tensors.DType.Float32).Stages.Select(s => s.Stage)];

        MemoryPlan Plan(TrainingOptions run, Tensors.DType type) =>
            MemoryPlan.Create(config, run, "cuda", type, TrainedModel.NewAdapter(run));
    }
}
