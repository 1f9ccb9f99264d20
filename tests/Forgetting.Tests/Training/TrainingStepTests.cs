using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class TrainingStepTests
{
    private static readonly int[] s_all = [.. Enumerable.Range(0, 12)];

    [Theory]
    [InlineData("full", AscentKind.Ascent)]
    [InlineData("ignore", AscentKind.Ascent)]
    [InlineData("forget", AscentKind.Ascent)]
    [InlineData("forget", AscentKind.Unlikelihood)]
    public void The_gradient_does_not_depend_on_micro_batches(string method, AscentKind ascent)
    {
        TrainingOptions options =
            TinyRun.Lora with
            {
                Method = TrainingMethod.Named(method),
                TokenForgetting = TinyRun.Lora.TokenForgetting with { Ascent = ascent },
            };
        (float[] packed, StepLosses packedLosses) =
            Gradient(options with { Compute = options.Compute with { MicroBatchTokens = 1000 } }, s_all);
        foreach (int tokens in new[] { 1, 17, 40 })
        {
            (float[] split, StepLosses losses) =
                Gradient(options with { Compute = options.Compute with { MicroBatchTokens = tokens } }, s_all);
            Assert.True(RelativeDistance(split, packed) < 1e-5);
            Assert.Equal(packedLosses.Objective, losses.Objective, 1e-5);
            Assert.Equal(packedLosses.PositiveSum, losses.PositiveSum, 1e-3);
            Assert.Equal((packedLosses.Mass, packedLosses.Tokens), (losses.Mass, losses.Tokens));
        }
    }

    [Fact]
    public void Recomputing_activations_gives_the_same_bits()
    {
        (float[] kept, _) = Gradient(TinyRun.Lora, s_all);
        (float[] again, _) = Gradient(TinyRun.Lora with { Compute = TinyRun.Lora.Compute with { Recompute = true } }, s_all);
        Assert.Equal(kept, again);
    }

    [Fact]
    public void The_objective_is_the_difference_of_the_means()
    {
        (_, StepLosses losses) = Gradient(TinyRun.Full with { Compute = TinyRun.Full.Compute with { MicroBatchTokens = 20 } }, s_all);
        Assert.Equal(losses.PositiveLoss!.Value - Lambda * losses.NegativeLoss!.Value, losses.Objective, 1e-6);
        (_, losses) = Gradient(TinyRun.Full with { Method = TrainingMethod.Full }, s_all);
        Assert.Equal((losses.PositiveSum + losses.NegativeSum) / losses.Mass.Total, losses.Objective, 1e-6);
    }

    // An example of weight 2 is as if it were there twice, one of weight 1/2 as if all others were.
    [Theory]
    [InlineData("full")]
    [InlineData("forget")]
    public void A_weight_counts_an_example_several_times(string method)
    {
        TrainingOptions options = TinyRun.Full with
        {
            Method = TrainingMethod.Named(method),
            Compute = TinyRun.Full.Compute with { MicroBatchTokens = 20 },
        };
        (float[] several, StepLosses losses) = Gradient(options, [0, 0, 1, 1, 2]);
        TrainingSet set = TinyRun.Examples(12);
        foreach (float[] weights in (float[][])[[2, 2, 1], [1, 1, 0.5f]])
        {
            EncodedExample[] weighted = [.. set.Examples.Select(
                (e, i) => i > 2 || weights[i] == 1 ? e : e with { Weights = Array.ConvertAll(e.Ids, _ => weights[i]) })];
            using var run = new TinyRun(options);
            using var step = new TrainingStep(run.Decoder, options);
            step.Begin(set with { Examples = weighted }, [0, 1, 2], 0);
            StepLosses own = step.Accumulate(Lambda);
            Assert.True(RelativeDistance(run.Gradients(), several) < 1e-5);
            Assert.Equal(losses.Objective, own.Objective, 1e-6);
            Assert.Equal(losses.PositiveLoss!.Value, own.PositiveLoss!.Value, 1e-6);
            Assert.Equal(losses.NegativeLoss!.Value, own.NegativeLoss!.Value, 1e-6);
        }
    }

    // As the paper's program: each micro-batch's own objective, averaged.
    [Fact]
    public void Compat_is_the_mean_of_the_micro_batches_gradients()
    {
        TrainingOptions options = TinyRun.Full with { Compute = TinyRun.Full.Compute with { MicroBatchTokens = 1 } };
        (float[] paper, StepLosses losses) = Gradient(options with { Compat = Compatibility.Paper }, [0, 1, 2]);
        var mean = new double[paper.Length];
        double objective = 0;
        foreach (int example in new[] { 0, 1, 2 })
        {
            (float[] own, StepLosses ownLosses) = Gradient(options, [example]);
            objective += ownLosses.Objective / 3;
            for (int i = 0; i < mean.Length; i++)
            {
                mean[i] += own[i] / 3.0;
            }
        }

        Assert.True(RelativeDistance(paper, Array.ConvertAll(mean, x => (float)x)) < 1e-5);
        Assert.Equal(objective, losses.Objective, 1e-5);
        (float[] step, _) = Gradient(options, [0, 1, 2]);
        Assert.True(RelativeDistance(step, paper) > 1e-3);
    }

    [Theory]
    [InlineData("forget", 0.2)]
    [InlineData("ignore", 0)]
    public void Parts_are_the_gradients_of_the_two_terms(string method, double factor)
    {
        (float[] positive, _) = Gradient(TinyRun.Full with { Method = TrainingMethod.Ignore }, s_all);
        (float[] both, _) = Gradient(TinyRun.Full, s_all);
        double[] unitNegative = [.. both.Zip(positive, (b, p) => (b - p) / Lambda)];
        double dot = positive.Zip(unitNegative, (p, n) => p * n).Sum();

        using var run = new TinyRun(TinyRun.Full with { Method = TrainingMethod.Named(method) });
        using var step = new TrainingStep(run.Decoder, run.Options);
        step.Begin(run.Set, s_all, 0);
        step.KeepNegativePart();
        step.Accumulate(Lambda);
        GradientPartNorms parts = step.CompareParts(Lambda);
        Assert.Equal(1, parts.PositiveNorm / Norm(positive), 1e-4);
        Assert.Equal(1, parts.UnitNegativeNorm / Norm(unitNegative), 1e-4);
        Assert.Equal(factor * parts.UnitNegativeNorm, parts.NegativeNorm, 1e-6);
        Assert.Equal(dot / (Norm(positive) * Norm(unitNegative)), parts.Cosine, 1e-4);
    }

    [Fact]
    public void Dropout_depends_on_the_step_and_not_on_the_run()
    {
        float[] first = Gradient(TinyRun.Lora, s_all, step: 0).Gradient;
        Assert.Equal(first, Gradient(TinyRun.Lora, s_all, step: 0).Gradient);
        Assert.NotEqual(first, Gradient(TinyRun.Lora, s_all, step: 1).Gradient);
        Assert.NotEqual(first, Gradient(TinyRun.Lora with { Seed = 1 }, s_all, step: 0).Gradient);
    }

    [Fact]
    public void A_step_does_not_add_to_the_gradients_before_it()
    {
        using var run = new TinyRun(TinyRun.Full with { Compute = TinyRun.Full.Compute with { MicroBatchTokens = 20 } });
        using var step = new TrainingStep(run.Decoder, run.Options);
        using var optimizer = new AdamWOptimizer(run.Decoder.Backend, run.Decoder.TrainableParameters, run.Options);
        step.Begin(run.Set, s_all, 0);
        float[] first = Accumulated();
        Assert.Equal(first, Accumulated());
        optimizer.Step(learningRate: 0);
        Assert.All(run.Gradients(), g => Assert.Equal(0, g));
        Assert.Equal(first, Accumulated());
        step.KeepNegativePart();
        Assert.Equal(first, Accumulated());

        float[] Accumulated()
        {
            step.Accumulate(Lambda);
            return run.Gradients();
        }
    }

    private const double Lambda = 0.2;

    private static (float[] Gradient, StepLosses Losses) Gradient(TrainingOptions options, int[] examples, int step = 0)
    {
        using var run = new TinyRun(options);
        using var work = new TrainingStep(run.Decoder, options);
        work.Begin(run.Set, examples, step);
        StepLosses losses = work.Accumulate(Lambda);
        float[] gradient = run.Gradients();
        Assert.Equal(Norm(Array.ConvertAll(gradient, x => (double)x)), work.GradientNorm(), 1e-5);
        return (gradient, losses);
    }

    private static double Norm(IEnumerable<double> x) => Math.Sqrt(x.Sum(v => v * v));

    private static double Norm(IEnumerable<float> x) => Norm(x.Select(v => (double)v));

    private static double RelativeDistance(float[] a, float[] b) => Norm(a.Zip(b, (x, y) => (double)x - y)) / Norm(b);
}
