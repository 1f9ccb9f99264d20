using System.Text.Json;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class TrainerTests
{
    private static readonly TrainingOptions s_adaptive = TinyRun.Lora with
    {
        TokenForgetting = TinyRun.Lora.TokenForgetting with
        {
            Lambda = LambdaKind.Adaptive,
            LambdaEvery = 2,
            LambdaFraction = 0.01,
            LambdaMax = 1,
        },
    };

    [Fact]
    public void Metrics_have_a_line_a_step_with_every_field()
    {
        using var run = new TinyRun(TinyRun.Full with
        {
            TokenForgetting = TinyRun.Full.TokenForgetting with { PartsEvery = 2 },
            Schedule = TinyRun.Full.Schedule with { WarmupRatio = 0.5 },
        });
        run.Trainer().Run();
        string[] lines = File.ReadAllLines(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.Equal(6, lines.Length);
        string[] always = ["step", "steps", "loss", "positive_loss", "negative_loss", "lambda", "learning_rate", "grad_norm", "tokens",
            "tokens_per_second", "elapsed_seconds"];
        for (int i = 0; i < lines.Length; i++)
        {
            using JsonDocument line = JsonDocument.Parse(lines[i]);
            string[] parts = i % 2 == 0 ? ["positive_grad_norm", "negative_grad_norm", "gradient_cosine"] : [];
            Assert.Equal([.. always, .. parts, "examples"], line.RootElement.EnumerateObject().Select(p => p.Name));
            Assert.Equal(i + 1, line.RootElement.GetProperty("step").GetInt32());
        }

        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.Equal(
            [0, 1e-3 / 3, 2e-3 / 3, 1e-3, 2e-3 / 3, 1e-3 / 3], metrics.Select(m => m.LearningRate), (a, b) => Math.Abs(a - b) < 1e-12);
        Assert.Equal(2 * run.Set.Examples.Sum(e => e.Length), metrics.Sum(m => m.Tokens));
        Assert.Equal(Enumerable.Range(0, run.Set.Examples.Count), metrics.Take(3).SelectMany(m => m.Examples!).Order());
        Assert.All(metrics, m => Assert.Equal(m.Tokens, m.Examples!.Sum(place => run.Set.Examples[place].Length)));
        Assert.All(metrics, m => Assert.Equal(m.PositiveLoss!.Value - m.Lambda * m.NegativeLoss!.Value, m.Loss, 1e-5));
    }

    [Fact]
    public void Positives_are_learnt_and_negatives_forgotten()
    {
        using var run = new TinyRun(TinyRun.Full with
        {
            Schedule = TinyRun.Full.Schedule with { BatchSize = 12, Steps = 60 },
            Optimizer = TinyRun.Full.Optimizer with { LearningRate = 5e-3 },
            TokenForgetting = TinyRun.Full.TokenForgetting with { Lambda = LambdaKind.Constant, LambdaMax = 0.2 },
        });
        run.Trainer().Run();
        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.True(metrics[^1].PositiveLoss < 0.7 * metrics[0].PositiveLoss);
        Assert.True(metrics[^1].NegativeLoss > 1.3 * metrics[0].NegativeLoss);
    }

    [Fact]
    public void A_part_without_tokens_is_null_in_the_metrics()
    {
        using var run = new TinyRun(TinyRun.Full with
        {
            Schedule = TinyRun.Full.Schedule with { Steps = 1 },
            TokenForgetting = TinyRun.Full.TokenForgetting with { PartsEvery = 1 },
        });
        new Trainer(run.Decoder, TrainingSet.AllPositive(run.Set.Examples), run.Options, run.Folder).Run();
        string line = File.ReadAllText(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.Contains("\"negative_loss\":null", line, StringComparison.Ordinal);
        Assert.DoesNotContain("gradient_cosine", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Watching_the_parts_does_not_change_the_training()
    {
        using var plain = new TinyRun(TinyRun.Lora);
        using var watched = new TinyRun(TinyRun.Lora with { TokenForgetting = TinyRun.Lora.TokenForgetting with { PartsEvery = 1 } });
        plain.Trainer().Run();
        watched.Trainer().Run();
        Assert.Equal(plain.Weights(), watched.Weights());
    }

    [Fact]
    public void Adaptive_lambda_holds_the_negative_gradient_down()
    {
        using var run = new TinyRun(s_adaptive with
        {
            Schedule = s_adaptive.Schedule with { Epochs = 4 },
            TokenForgetting = s_adaptive.TokenForgetting with { LambdaMin = 0.9 },
        });
        run.Trainer().Run();
        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.Equal(0.9, metrics[0].Lambda);
        Assert.True(metrics[0].NegativeGradNorm > 0.01 * metrics[0].PositiveGradNorm);
        double bound = metrics[0].Lambda * 0.01 * metrics[0].PositiveGradNorm!.Value / metrics[0].NegativeGradNorm!.Value;
        Assert.Equal(bound, metrics[1].Lambda, 1e-9);
        Assert.Equal(bound, metrics[2].Lambda, 1e-9);
        Assert.NotEqual(metrics[2].Lambda, metrics[3].Lambda);
    }

    [Theory]
    [InlineData(1e-3, true)]
    [InlineData(1e3, false)]
    public void Clipping_bounds_the_gradient_that_is_used(double clip, bool changes)
    {
        // The first update of AdamW hardly depends on the gradient's scale; the second does.
        using var free = new TinyRun(TinyRun.Full);
        using var clipped = new TinyRun(TinyRun.Full with { Optimizer = TinyRun.Full.Optimizer with { Clip = clip } });
        free.Trainer().Run();
        clipped.Trainer().Run();
        Assert.Equal(changes, !free.Weights().SequenceEqual(clipped.Weights()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [InlineData(false, "adamw8bit")]
    [InlineData(false, "adamw", true)]
    [InlineData(false, "adamw8bit", true)]
    public void A_run_that_was_killed_resumes_to_the_same_bits(bool lora, string optimizer = "adamw", bool narrow = false)
    {
        ModelConfig? config = optimizer == "adamw8bit" ? TinyRun.Wide : null;
        TrainingOptions options = lora ? s_adaptive : TinyRun.Full;
        options = options with
        {
            Optimizer = options.Optimizer with
            {
                Kind = optimizer,
                GradientDtype = narrow ? "bf16" : "fp32",
                NoMasters = narrow,
            },
            Checkpoints = options.Checkpoints with { Every = 2 },
            TokenForgetting = options.TokenForgetting with { PartsEvery = 2 },
        };
        using var whole = new TinyRun(options, config: config);
        whole.Trainer().Run();

        // Dies after step 5, when the newest checkpoint is that of step 4 and the metrics are one line further.
        using var killed = new TinyRun(options, config: config);
        Assert.Throws<InvalidOperationException>(() => killed.Trainer(new Death(5)).Run());
        Assert.Equal(5, Lines(killed).Length);
        using var resumed = new TinyRun(options, config: config);
        new Trainer(resumed.Decoder, resumed.Set, options, killed.Folder).Run(resume: true);

        Assert.Equal(whole.Weights().Select(BitConverter.SingleToUInt32Bits), resumed.Weights().Select(BitConverter.SingleToUInt32Bits));
        Assert.Equal(Lines(whole).Select(WithoutTime), Lines(killed).Select(WithoutTime));
        Assert.Equal(
            ["step-000004", "step-000006"],
            Directory.GetDirectories(Path.Combine(killed.Folder, "checkpoints")).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void Cancellation_ends_after_the_step_with_a_checkpoint()
    {
        using var whole = new TinyRun(TinyRun.Full);
        whole.Trainer().Run();
        using var run = new TinyRun(TinyRun.Full);
        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => run.Trainer(new Death(3, source.Cancel)).Run(cancellation: source.Token));
        Assert.Equal(3, Lines(run).Length);
        using var resumed = new TinyRun(TinyRun.Full);
        new Trainer(resumed.Decoder, resumed.Set, resumed.Options, run.Folder).Run(resume: true);
        Assert.Equal(whole.Weights(), resumed.Weights());
        Assert.Equal(6, Lines(run).Length);
    }

    [Fact]
    public void A_run_is_neither_overwritten_nor_continued_as_another()
    {
        using var run = new TinyRun(TinyRun.Full with { Schedule = TinyRun.Full.Schedule with { Steps = 2 } });
        run.Trainer().Run();
        Assert.Contains(
            "resume it or choose another folder", Assert.Throws<UserException>(() => run.Trainer().Run()).Message,
            StringComparison.Ordinal);

        var other = new Trainer(
            run.Decoder, run.Set, run.Options with { Optimizer = run.Options.Optimizer with { LearningRate = 0.5 } }, run.Folder);
        Assert.Contains(
            "learning-rate was \"0.001\", found \"0.5\"", Assert.Throws<UserException>(() => other.Run(resume: true)).Message,
            StringComparison.Ordinal);

        other = new Trainer(run.Decoder, TinyRun.Examples(11), run.Options, run.Folder);
        Assert.Contains(
            "the training set is not", Assert.Throws<UserException>(() => other.Run(resume: true)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_the_run_before_the_update()
    {
        using var run = new TinyRun(TinyRun.Full with
        {
            Checkpoints = TinyRun.Full.Checkpoints with { Every = 1 },
            Data = TinyRun.Full.Data with { NoShuffle = true },
        });
        float[] good = [];
        var poison = new Death(2, () =>
        {
            Parameter gain = run.Decoder.BaseParameters.First(p => p.Kind == ParameterKind.Vector);
            gain.SetRows(run.Decoder.Backend, 0, Enumerable.Repeat(float.NaN, gain.Shape.Columns).ToArray());
            good = run.Weights();
        });
        var error = Assert.Throws<UserException>(() => run.Trainer(poison).Run());
        string checkpoint = Path.Combine(run.Folder, "checkpoints", "step-000002");
        Assert.StartsWith("step 3: the loss of example 108 is NaN; ", error.Message, StringComparison.Ordinal);
        Assert.Contains($"the last good checkpoint is {checkpoint};", error.Message, StringComparison.Ordinal);
        Assert.Equal(good, run.Weights());
        Assert.Equal(2, Lines(run).Length);
    }

    [Fact]
    public void A_gradient_that_is_not_finite_names_the_example()
    {
        using var run = new TinyRun(TinyRun.Full with
        {
            TokenForgetting = TinyRun.Full.TokenForgetting with { Lambda = LambdaKind.Constant, LambdaMax = 1e38 },
            Data = TinyRun.Full.Data with { NoShuffle = true },
        });
        float[] before = run.Weights();
        var error = Assert.Throws<UserException>(() => run.Trainer().Run());
        int first = Enumerable.Range(0, 4).First(i => run.Set.Signs[i].Contains((sbyte)-1));
        Assert.StartsWith(
            $"step 1: the gradient is not finite: that of example {100 + first} alone is not; ", error.Message, StringComparison.Ordinal);
        Assert.Contains("there is no checkpoint yet", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, run.Weights());
    }

    private static string[] Lines(TinyRun run) => File.ReadAllLines(Path.Combine(run.Folder, "metrics.jsonl"));

    private static string WithoutTime(string line)
    {
        StepMetrics metrics = JsonSerializer.Deserialize<StepMetrics>(line, IO.JsonLines.Options)!;
        return (metrics with { TokensPerSecond = 0, ElapsedSeconds = 0 }).ToString();
    }

    /// <summary>Does something, or throws, when a step is done.</summary>
    private sealed class Death(int step, Action? instead = null) : ITrainingObserver
    {
        public void StageBegan(string what)
        {
        }

        public void Progressed(long done, long total)
        {
        }

        public void StepDone(StepMetrics metrics, int steps)
        {
            if (metrics.Step == step)
                (instead ?? (() => throw new InvalidOperationException("killed")))();
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
