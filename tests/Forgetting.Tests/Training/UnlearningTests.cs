using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class UnlearningTests
{
    private static readonly TrainingOptions s_lwf = TinyRun.Full with
    {
        Method = TrainingMethod.Lwf,
        Unlearning = TinyRun.Full.Unlearning with { Elicited = "self.jsonl", Interval = 2, Weight = 0.3, Clip = 0.01, BatchSize = 3 },
        Schedule = TinyRun.Full.Schedule with { Steps = 7, LrSchedule = LrScheduleKind.Constant },
    };

    [Theory]
    [InlineData(UnlearningMoments.Shared)]
    [InlineData(UnlearningMoments.Own)]
    public void A_run_is_learning_steps_with_ascent_on_the_other_set_in_between(UnlearningMoments moments)
    {
        TrainingOptions options = s_lwf with { Unlearning = s_lwf.Unlearning with { Moments = moments } };
        using var run = new TinyRun(options);
        TrainingSet other = Others();
        Train(run, other).Run();

        // The same by hand: descent on Σ CE/n, and before steps 2, 4 and 6 ascent, each with the whole batch at once: on w·Σ CE/n through
        // the same moments, or on Σ CE/n through others, in a step of w times the learning rate.
        bool shared = moments == UnlearningMoments.Shared;
        using var manual = new TinyRun(options);
        manual.Decoder.AllocateGradients();
        using var optimizer = new AdamWOptimizer(manual.Decoder.Backend, manual.Decoder.TrainableParameters, options);
        using var second = new AdamWOptimizer(manual.Decoder.Backend, manual.Decoder.TrainableParameters, options);
        var norms = new List<double>();
        var order = new DataOrder(12, 4, s_lwf.Seed, shuffle: true);
        var otherOrder = new DataOrder(8, 3, ~s_lwf.Seed, shuffle: true);
        for (int k = 0; k < 7; k++)
        {
            if (k is 2 or 4 or 6)
            {
                Gradient(manual, other, otherOrder.At(k / 2 - 1), shared ? -0.3f : -1);
                double norm = Math.Sqrt(manual.Gradients().Sum(g => (double)g * g));
                norms.Add(shared ? norm / 0.3 : norm);
                Assert.True(norm > 0.01);
                (shared ? optimizer : second).Step(shared ? 1e-3 : 0.3e-3, 0.01 / norm);
            }

            Gradient(manual, manual.Set, order.At(k), 1);
            optimizer.Step(1e-3);
        }

        Assert.All(run.Weights().Zip(manual.Weights()), pair => Assert.Equal(pair.Second, pair.First, 2e-6f));
        IReadOnlyList<StepMetrics> metrics = StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"));
        Assert.Equal([3, 5, 7], metrics.Where(m => m.Unlearned != null).Select(m => m.Step));
        Assert.Equal(otherOrder.At(1).ToArray().Select(place => other.Examples[place].Index), metrics[4].Unlearned);
        Assert.All(
            metrics.Where(m => m.Unlearned != null).Zip(norms), pair => Assert.Equal(pair.Second, pair.First.ForgetGradNorm!.Value, 1e-5));
        Assert.True(metrics[2].ForgetLoss > 1);
    }

    [Fact]
    public void The_papers_program_unlearns_through_the_moments_of_learning()
    {
        TrainingOptions paper = s_lwf with { Compat = Compatibility.Paper, Unlearning = s_lwf.Unlearning with { Weight = null } };
        using var implied = new TinyRun(paper);
        using var given =
            new TinyRun(paper with { Unlearning = paper.Unlearning with { Moments = UnlearningMoments.Shared, Weight = 0.05 } });
        Train(implied, Others()).Run();
        Train(given, Others()).Run();
        Assert.Equal(given.Weights().Select(BitConverter.SingleToUInt32Bits), implied.Weights().Select(BitConverter.SingleToUInt32Bits));
    }

    [Theory]
    [InlineData(false, UnlearningMoments.Own)]
    [InlineData(true, UnlearningMoments.Own)]
    [InlineData(true, UnlearningMoments.Shared)]
    public void A_killed_run_resumes_to_the_same_bits(bool lora, UnlearningMoments moments)
    {
        TrainingOptions options = s_lwf with
        {
            Unlearning = s_lwf.Unlearning with { Moments = moments },
            Lora = s_lwf.Lora with { Rank = lora ? 4 : 0, Dropout = 0.25 },
            Checkpoints = s_lwf.Checkpoints with { Every = 3 },
            TokenForgetting = s_lwf.TokenForgetting with { Ascent = AscentKind.Unlikelihood },
        };
        using var whole = new TinyRun(options);
        Train(whole, Others()).Run();
        using var source = new CancellationTokenSource();
        using var killed = new TinyRun(options);
        Assert.Throws<OperationCanceledException>(() => Train(killed, Others(), new After(5, source)).Run(cancellation: source.Token));
        using var resumed = new TinyRun(options);
        new Trainer(resumed.Decoder, resumed.Set, options, killed.Folder, unlearned: Others()).Run(resume: true);
        Assert.Equal(whole.Weights().Select(BitConverter.SingleToUInt32Bits), resumed.Weights().Select(BitConverter.SingleToUInt32Bits));

        using var other = new TinyRun(options);
        var changed = new Trainer(
            other.Decoder, other.Set, options, killed.Folder, unlearned: TrainingSet.AllNegative(Others().Examples.Skip(1).ToList()));
        Assert.Contains(
            "the training set is not", Assert.Throws<UserException>(() => changed.Run(resume: true)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_schedule_takes_as_many_steps()
    {
        UnlearningSchedule Of(UnlearningScheduleKind kind, ulong seed = 1) =>
            new(new TrainingOptions { Unlearning = new() { Schedule = kind, Interval = 10 }, Seed = seed }, 40);
        int[][] Places(UnlearningSchedule schedule) => [.. Enumerable.Range(0, 40).Select(k => schedule.Before(k).ToArray())];

        int[][] periodic = Places(Of(UnlearningScheduleKind.Periodic));
        Assert.Equal([10, 20, 30], Enumerable.Range(0, 40).Where(k => periodic[k].Length > 0));
        int[][] upfront = Places(Of(UnlearningScheduleKind.Upfront));
        Assert.Equal([0, 1, 2], upfront[0]);
        Assert.All(upfront.Skip(1), Assert.Empty);
        int[][] random = Places(Of(UnlearningScheduleKind.Random));
        Assert.Equal([0, 1, 2], random.SelectMany(p => p));
        Assert.NotEqual(random.Select(p => p.Length), Places(Of(UnlearningScheduleKind.Random, 2)).Select(p => p.Length));

        // Learning rates: upfront has those of periodic.
        Assert.Equal([10, 20, 30], Enumerable.Range(0, 3).Select(Of(UnlearningScheduleKind.Periodic).RateOf));
        Assert.Equal([10, 20, 30], Enumerable.Range(0, 3).Select(Of(UnlearningScheduleKind.Upfront).RateOf));
        Assert.Equal(
            "forget-interval is 10 with 10 learning steps, which leaves no unlearning step; expected a forget-interval below 10, "
                + "or more learning steps: raise epochs or steps, or lower batch-size",
            Assert.Throws<UserException>(
                () => new UnlearningSchedule(new TrainingOptions { Unlearning = new() { Interval = 10 } }, 10)).Message);
    }

    [Fact]
    public void Spectral_shrinkage_does_not_depend_on_micro_batches()
    {
        // As it shows the features in one batch, and as they are gathered first for several.
        using var one = new TinyRun(TinyRun.Full);
        using var many = new TinyRun(TinyRun.Full with { Compute = TinyRun.Full.Compute with { MicroBatchTokens = 20 } });
        using var none = new TinyRun(TinyRun.Full);
        double[] values = [.. new[] { one, many }.Select(run =>
        {
            var shrinkage = new SpectralShrinkage(0.5, 2);
            using var step = new TrainingStep(run.Decoder, run.Options, shrinkage);
            step.Begin(run.Set, [0, 1, 2, 3, 4, 5], 0);
            step.Accumulate(0);
            return shrinkage.Value;
        })];
        using (var step = new TrainingStep(none.Decoder, none.Options))
        {
            step.Begin(none.Set, [0, 1, 2, 3, 4, 5], 0);
            step.Accumulate(0);
        }

        Assert.Equal(values[0], values[1], 1e-6);
        Assert.All(one.Gradients().Zip(many.Gradients()), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
        Assert.True(one.Gradients().Zip(none.Gradients(), (a, b) => Math.Abs(a - b)).Max() > 1e-2);
    }

    [Fact]
    public void Spectral_shrinkage_is_in_the_gradient_of_every_weight()
    {
        using var run = new TinyRun(TinyRun.Full);
        var shrinkage = new SpectralShrinkage(0.5, 2);
        float[] with = Gradient(shrinkage), without = Gradient(null);
        var random = new Random(1);
        IBackend backend = run.Decoder.Backend;
        int first = 0;
        foreach (Parameter parameter in run.Decoder.TrainableParameters)
        {
            int element = random.Next((int)parameter.Shape.Count);
            var values = new float[parameter.Shape.Count];
            backend.Download<float>(parameter.Value, values);
            float middle = values[element];
            double up = Value(middle + 5e-3f), down = Value(middle - 5e-3f);
            Value(middle);
            double numeric = (up - down) / 1e-2, found = with[first + element] - without[first + element];
            Assert.True(Math.Abs(numeric - found) <= 2e-3 + 0.02 * Math.Abs(numeric), $"{parameter}: {numeric} {found}");
            first += values.Length;

            double Value(float at)
            {
                values[element] = at;
                backend.Upload<float>(values, parameter.Value);
                Gradient(shrinkage);
                return shrinkage.Value;
            }
        }

        float[] Gradient(SpectralShrinkage? regularizer)
        {
            using var step = new TrainingStep(run.Decoder, run.Options, regularizer);
            step.Begin(run.Set, [0, 1, 2, 3, 4, 5], 0);
            step.Accumulate(0);
            return run.Gradients();
        }
    }

    [Theory]
    [InlineData(SelectionKind.High, new[] { 1, 3 }, 5.0)]
    [InlineData(SelectionKind.Low, new[] { 0, 4 }, 1.0)]
    public void Selection_takes_a_share_of_the_ranking(SelectionKind kind, int[] expected, double cut)
    {
        double[] confidence = [1, 5, 3, 7, 0.5, 5, 2, 4];
        var options = new TrainingOptions { Unlearning = new() { Select = kind, Fraction = 0.25 } };
        (IReadOnlyList<int> places, double? found) = UnlearningSelection.Choose(confidence, 8, options);
        Assert.Equal(expected, places);
        Assert.Equal(cut, found);
    }

    [Fact]
    public void Selection_by_threshold_or_at_random()
    {
        double[] confidence = [1, 5, 3, 7, 0.5, 5, 2, 4];
        Assert.Equal(
            [1, 3, 5], UnlearningSelection.Choose(confidence, 8, new TrainingOptions { Unlearning = new() { Threshold = 5 } }).Places);
        Assert.Equal([0, 4], UnlearningSelection.Choose(
            confidence, 8, new TrainingOptions { Unlearning = new() { Threshold = 1, Select = SelectionKind.Low } }).Places);
        Assert.StartsWith("forget-threshold is 8, which no sample passes: values are 0.5 to 7",
            Assert.Throws<UserException>(
                () => UnlearningSelection.Choose(confidence, 8, new TrainingOptions { Unlearning = new() { Threshold = 8 } })).Message,
            StringComparison.Ordinal);

        var random = new TrainingOptions { Unlearning = new() { Select = SelectionKind.Random, Fraction = 0.5 } };
        Assert.False(UnlearningSelection.NeedsRanking(random));
        (IReadOnlyList<int> places, double? cut) = UnlearningSelection.Choose(null, 8, random);
        Assert.Equal((4, null), (places.Count, cut));
        Assert.NotEqual(places, UnlearningSelection.Choose(null, 8, random with { Seed = 7 }).Places);
    }

    [Theory]
    [InlineData(
        "method is lwf, expected forget-prompts (files of prompts) or elicited (samples made before) with it", "lwf", null,
        null)]
    [InlineData("forget-prompts is a: method full does not use it, expected method forget or lwf", "full", "a", null)]
    [InlineData("forget-prompts and elicited are both given, expected one source of self-generated samples", "lwf", "a", "b")]
    public void Settings_that_do_not_go_together_are_refused(string message, string method, string? forget, string? elicited)
    {
        var options =
            new TrainingOptions
            {
                Method = TrainingMethod.Named(method),
                Unlearning = new() { Prompts = forget is null ? [] : [forget], Elicited = elicited },
            };
        Assert.Equal(message, Assert.Throws<UserException>(options.Validate).Message);
    }

    private static TrainingSet Others() => TrainingSet.AllNegative([.. TinyRun.Examples(20).Examples.Skip(12)]);

    private static Trainer Train(TinyRun run, TrainingSet other, ITrainingObserver? observer = null) =>
        new(run.Decoder, run.Set, run.Options, run.Folder, observer, other);

    // Gradient of weight·Σ CE/n over the chosen examples.
    private static void Gradient(TinyRun run, TrainingSet set, ReadOnlySpan<int> chosen, float weight)
    {
        EncodedExample[] examples = [.. chosen.ToArray().Select(place => set.Examples[place])];
        float each = weight / examples.Sum(e => e.ResponseCount);
        TokenBatch batch = BatchBuilder.Create(
            examples, new MicroBatch(0, examples.Length, 0), [.. examples.Select(e => Enumerable.Repeat(each, e.Length).ToArray())]);
        run.Decoder.ZeroGradients();
        run.Decoder.ForwardBackward(batch, default, new AccumulateSink(run.Decoder.Backend), new float[batch.HeadRows.Length]);
    }

    /// <summary>Cancels when a step is done.</summary>
    private sealed class After(int step, CancellationTokenSource source) : ITrainingObserver
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
                source.Cancel();
        }

        public void CheckpointWritten(string path)
        {
        }
    }
}
