using System.Globalization;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// <c>tune --method forget</c> on stories260K, reference model and partition included, on the emulation against the CPU. In
/// BFloat16 the partition is the CPU run's: tokens of nearly equal influence change places under its rounding, and then the
/// runs optimise different objectives.
/// </summary>
[Collection("emulation")]
public sealed class TuneTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    private static readonly string[] s_words = "the cat sat on a mat and then Lily saw big dog who was happy in park with mom".Split(' ');

    [EmulatedDataTheory]
    [InlineData(DType.Float32, 1e-4)]
    [InlineData(DType.BFloat16, 2e-2)]
    public void Every_step_is_the_CPUs(DType type, double tolerance)
    {
        using var folder = new TemporaryFolder();
        using var cpu = new CpuBackend(2);
        File.WriteAllLines(folder["data.jsonl"], Examples());
        TrainingOptions options = new()
        {
            Model = SharedData.Path("stories260K", "hf"),
            Data = new() { Path = folder["data.jsonl"], MaxLength = 64 },
            Method = TrainingMethod.Forget,
            Lora = new() { Rank = 4, Alpha = 8 },
            Schedule = new() { BatchSize = 3 },
            Optimizer = new() { LearningRate = 1e-3 },
            TokenForgetting = new() { ReferenceFraction = 0.34 },
            Checkpoints = new() { Every = 0 },
        };
        (double Loss, double GradientNorm)[] expected = Run(options with { Out = folder["cpu"] }, cpu);
        if (type == DType.BFloat16)
        {
            options = options with { TokenForgetting = options.TokenForgetting with { ReferenceFraction = null } };
            expected = Run(options with
            {
                TokenForgetting = options.TokenForgetting with { Reference = folder["cpu", "reference/model"] },
                Out = folder["scored"],
            }, cpu);
            options = options with { TokenForgetting = options.TokenForgetting with { Scores = folder["scored", "scores.jsonl"] } };
        }

        (double Loss, double GradientNorm)[] actual = Run(options with { Out = folder["cuda"] }, backends.Of(type));
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), step =>
        {
            Assert.InRange(Math.Abs(step.Second.Loss / step.First.Loss - 1), 0, tolerance);
            Assert.InRange(Math.Abs(step.Second.GradientNorm / step.First.GradientNorm - 1), 0, tolerance);
        });
    }

    private static (double Loss, double GradientNorm)[] Run(TrainingOptions options, IBackend backend)
    {
        TuneRun.Execute(options, backend);
        return [.. File.ReadLines(Path.Combine(options.Out, "metrics.jsonl")).Select(line =>
        {
            using JsonDocument step = JsonDocument.Parse(line);
            return (step.RootElement.GetProperty("loss").GetDouble(), step.RootElement.GetProperty("grad_norm").GetDouble());
        })];
    }

    internal static IEnumerable<string> Examples()
    {
        var random = new Random(1);
        string Draw(int count) => string.Join(' ', Enumerable.Range(0, count).Select(_ => s_words[random.Next(s_words.Length)]));
        return [.. Enumerable.Range(0, 12).Select(_ => string.Create(
            CultureInfo.InvariantCulture, $$"""{"prompt": "Once upon a time {{Draw(4)}}", "completion": "{{Draw(14)}}"}"""))];
    }
}
