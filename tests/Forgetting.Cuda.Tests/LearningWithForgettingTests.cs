using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// The stages of learning with forgetting on stories260K, on the emulation against the CPU. Every stage starts from what the CPU's earlier
/// stages left, so that each difference is that stage's own.
/// </summary>
[Collection("emulation")]
public sealed class LearningWithForgettingTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    [EmulatedDataTheory]
    [InlineData(DType.Float32, 1e-4)]
    [InlineData(DType.BFloat16, 2e-2)]
    public void Every_stage_is_the_CPUs(DType type, double tolerance)
    {
        using var folder = new TemporaryFolder();
        using var cpu = new CpuBackend(2);
        TrainingOptions options = Options(folder);
        TuneRun.Execute(options with { Out = folder["cpu"] }, cpu);
        options = options with
        {
            Unlearning = options.Unlearning with
            {
                Prompts = [],
                Elicited = folder["cpu", "lwf/elicited.jsonl"],
                Learned = folder["cpu", "lwf/learned/model"],
                Fisher = folder["cpu", "lwf/fisher.safetensors"],
                MaxNewTokens = new TrainingOptions().Unlearning.MaxNewTokens,
            },
        };
        IBackend backend = backends.Of(type);

        // Squares have twice the relative error of what is squared.
        Assert.InRange(Distance(Fisher(options, backend), Fisher(options, cpu)), 0, 2 * tolerance);

        (double[] Linear, double[] Quadratic) expected = Confidence(options, cpu), actual = Confidence(options, backend);
        Assert.InRange(Distance(actual.Linear, expected.Linear), 0, 4 * tolerance); // terms of both signs, which cancel in part
        Assert.InRange(Distance(actual.Quadratic, expected.Quadratic), 0, 2 * tolerance);

        TuneRun.Execute(options with { Out = folder["cuda"] }, backend);
        Assert.Equal(Selected(folder["cpu"]), Selected(folder["cuda"]));
        StepMetrics[] steps = [.. StepMetrics.Read(folder["cpu", "metrics.jsonl"])],
            replayed = [.. StepMetrics.Read(folder["cuda", "metrics.jsonl"])];
        Assert.Equal(steps.Select(s => s.Unlearned), replayed.Select(s => s.Unlearned));
        Assert.Contains(steps, s => s.Unlearned is not null);
        Assert.All(steps.Zip(replayed), pair =>
        {
            AssertClose(pair.First.Loss, pair.Second.Loss, tolerance);
            AssertClose(pair.First.GradNorm, pair.Second.GradNorm, tolerance);

            // One sample of six tokens of which the model is sure: a small loss.
            AssertClose(pair.First.ForgetLoss ?? 1, pair.Second.ForgetLoss ?? 1, 2 * tolerance);
            AssertClose(pair.First.ForgetGradNorm ?? 1, pair.Second.ForgetGradNorm ?? 1, 2 * tolerance);
        });
    }

    private static TrainingOptions Options(TemporaryFolder folder)
    {
        File.WriteAllLines(folder["data.jsonl"], TuneTests.Examples().Take(4));
        File.WriteAllLines(folder["prompts.jsonl"], TuneTests.Examples().Skip(4).Take(4));
        return new()
        {
            Method = TrainingMethod.Lwf,
            Model = SharedData.Path("stories260K", "hf"),
            Data = new() { Path = folder["data.jsonl"], MaxLength = 40 },
            Unlearning = new()
            {
                SelectBy = SelectionMeasure.Confidence,
                Prompts = [folder["prompts.jsonl"]],
                MaxNewTokens = 6,
                Interval = 2,
                BatchSize = 1,
            },
            Lora = new() { Rank = 4, Alpha = 8 },
            Schedule = new() { Steps = 4, BatchSize = 2 },
            Optimizer = new() { LearningRate = 1e-3 },
            Checkpoints = new() { Every = 0 },
        };
    }

    private static double[] Fisher(TrainingOptions options, IBackend backend)
    {
        using LoadedModel model = LoadedModel.Load(options.Unlearning.Learned!, backend, training: true);
        IReadOnlyList<EncodedExample> examples = ExampleLoader.Load(options.Data.Path, model.Tokenizer, model.Decoder.Config, options);
        FisherInformation.Compute(model.Decoder, examples, FisherKind.Empirical, 64, options.Seed);
        return [.. TrainingStepTests.Concatenate(model.Decoder, p => p.Gradient).Select(f => (double)f)];
    }

    private static (double[] Linear, double[] Quadratic) Confidence(TrainingOptions options, IBackend backend)
    {
        using LoadedModel model = LoadedModel.Load(options.Model, backend);
        using Checkpoint learned = Checkpoint.Open(options.Unlearning.Learned!);
        using var confidence = new ForgettingConfidence(model.Decoder, model.Source, learned, options.Unlearning.Fisher!);
        IReadOnlyList<EncodedExample> samples =
            ExampleLoader.Load(options.Unlearning.Elicited!, model.Tokenizer, model.Decoder.Config, new TrainingOptions());
        IReadOnlyList<ConfidenceRecord> records = confidence.Compute(samples, options.Optimizer.LearningRate, 64);
        return ([.. records.Select(r => r.Linear)], [.. records.Select(r => r.Quadratic)]);
    }

    private static IEnumerable<int> Selected(string run) =>
        SelectionRecord.Read(Path.Combine(run, "lwf", "selection.jsonl")).Where(s => s.Selected).Select(s => s.Index);

    private static void AssertClose(double expected, double actual, double tolerance) =>
        Assert.InRange(Math.Abs((actual / expected) - 1), 0, tolerance);

    // ‖a − b‖ / ‖b‖
    private static double Distance(double[] a, double[] b) => Math.Sqrt(a.Zip(b, (x, y) => (x - y) * (x - y)).Sum() / b.Sum(y => y * y));
}
