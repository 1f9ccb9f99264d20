using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>A run on several ranks is the run on one: the same losses within rounding, and the same bits in every run of as many.</summary>
public sealed class DataParallelTests
{
    private static readonly TrainingOptions s_long = TinyRun.Full with
    {
        Schedule = TinyRun.Full.Schedule with { BatchSize = 8, Steps = 50 },
        TokenForgetting = TinyRun.Full.TokenForgetting with
        {
            Lambda = LambdaKind.Constant,
            LambdaMax = 0.2,
            PartsEvery = 10,
        },
        Optimizer = TinyRun.Full.Optimizer with { Clip = 1 },
    };

    private static readonly TrainingOptions s_lora = s_long with
    {
        Lora = TinyRun.Lora.Lora,
        Compute = s_long.Compute with { MicroBatchTokens = 20 },
    };

    public static TheoryData<string, int, string> Runs
    {
        get
        {
            var data = new TheoryData<string, int, string>();
            foreach (string kind in new[] { "full", "forget", "lora", "paper", "unlearning", "bss", "srs" })
            {
                foreach (string shard in new[] { "none", "optimizer", "gradients" })
                {
                    data.Add(kind, 2, shard);
                    data.Add(kind, 4, shard);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Losses_are_those_of_one_rank_and_a_rerun_has_the_same_bits(string kind, int ranks, string shard)
    {
        (StepMetrics[] one, float[][] expectedWeights) = Train(kind, 1, "none");
        (StepMetrics[] many, float[][] weights) = Train(kind, ranks, shard);
        Assert.Equal(50, one.Length);
        Assert.Equal(50, many.Length);
        foreach ((StepMetrics expected, StepMetrics found) in one.Zip(many))
        {
            Close(expected.PositiveLoss, found.PositiveLoss);
            Close(expected.NegativeLoss, found.NegativeLoss);
            Close(expected.ForgetLoss, found.ForgetLoss);
            Close(expected.Regularizer, found.Regularizer);
            Close(expected.NegativeGradNorm, found.NegativeGradNorm);
            Close(expected.GradNorm, found.GradNorm);
            Assert.Equal(expected.Tokens, found.Tokens);
        }

        Assert.All(weights, own => Assert.Equal(weights[0], own));
        Assert.All(expectedWeights[0].Zip(weights[0]), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
        (StepMetrics[] again, float[][] same) = Train(kind, ranks, shard);
        Assert.Equal(weights[0], same[0]);
        Assert.Equal(many.Select(m => m.Loss), again.Select(m => m.Loss));
    }

    /// <summary>Both are there or neither is, and they differ by no more than rounding.</summary>
    internal static void Close(double? expected, double? found)
    {
        Assert.Equal(expected is null, found is null);
        if (expected is { } value)
            Assert.True(Math.Abs(value - found!.Value) <= 1e-5 * Math.Abs(value), $"expected {value}, found {found}");
    }

    [Theory]
    [InlineData("none")]
    [InlineData("optimizer")]
    [InlineData("gradients")]
    public void A_loss_that_is_not_finite_stops_all_ranks_in_the_same_step_with_the_same_words(string shard)
    {
        TrainingOptions options = s_long with { Compute = s_long.Compute with { Shard = shard } };
        string[] lines = [.. new[] { 1, 2, 4 }.SelectMany(ranks =>
        {
            using var folder = new Testing.TemporaryFolder();
            return ThreadRanks.Run(ranks, communicator =>
            {
                using var run = new TinyRun(options, new CpuBackend(1), communicator: communicator);
                Parameter gain = run.Decoder.TrainableParameters.First(p => p.Kind == ParameterKind.Vector);
                gain.SetRows(run.Decoder.Backend, 0, [.. Enumerable.Repeat(float.NaN, (int)gain.Shape.Count)]);
                var trainer = new Trainer(run.Decoder, run.Set, run.Options, folder.Path, communicator: communicator);
                return Assert.Throws<UserException>(() => trainer.Run()).Message;
            });
        })];
        Assert.Equal(7, lines.Length);
        Assert.StartsWith("step 1: the loss of example 1", lines[0], StringComparison.Ordinal);
        Assert.All(lines, line => Assert.Equal(lines[0], line));
    }

    [Fact]
    public void A_request_to_stop_on_one_rank_stops_all_in_the_same_step_and_any_number_of_ranks_resumes()
    {
        using var folder = new Testing.TemporaryFolder();
        int stops = 0;
        ThreadRanks.Run(4, communicator =>
        {
            using var run = new TinyRun(s_long, new CpuBackend(1));
            using var source = new CancellationTokenSource();
            var trainer = new Trainer(
                run.Decoder, run.Set, run.Options, folder.Path, communicator: new StopsAfter(communicator, 3, 20, source));
            Assert.Throws<OperationCanceledException>(() => trainer.Run(cancellation: source.Token));
            Interlocked.Increment(ref stops);
            return 0;
        });
        Assert.Equal(4, stops);
        int done = StepMetrics.Read(Path.Combine(folder.Path, "metrics.jsonl")).Count;
        Assert.InRange(done, 1, 49);
        Assert.Equal([$"step-{done:D6}"], Directory.GetDirectories(Path.Combine(folder.Path, "checkpoints")).Select(Path.GetFileName));

        ThreadRanks.Run(2, communicator =>
        {
            using var run = new TinyRun(s_long, new CpuBackend(1));
            new Trainer(run.Decoder, run.Set, run.Options, folder.Path, communicator: communicator).Run(resume: true);
            return 0;
        });
        StepMetrics[] resumed = [.. StepMetrics.Read(Path.Combine(folder.Path, "metrics.jsonl"))];
        (StepMetrics[] whole, _) = Train("forget", 1, "none");
        Assert.Equal(50, resumed.Length);
        Assert.All(whole.Zip(resumed), pair => Close(pair.First.Loss, pair.Second.Loss));
    }

    [Fact]
    public void Other_training_sets_are_refused_by_name()
    {
        using var folder = new Testing.TemporaryFolder();
        string[] lines = ThreadRanks.Run(2, communicator =>
        {
            using var run = new TinyRun(s_long, new CpuBackend(1));
            TrainingSet set = TinyRun.Examples(communicator.Rank == 1 ? 11 : 12);
            var trainer = new Trainer(run.Decoder, set, run.Options, folder.Path, communicator: communicator);
            return Assert.Throws<UserException>(() => trainer.Run()).Message;
        });
        Assert.Equal(lines[0], lines[1]);
        Assert.StartsWith("training set is \"", lines[0], StringComparison.Ordinal);
        Assert.Contains("on rank 1", lines[0], StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Micro_batches_go_to_the_rank_with_the_fewest_tokens_the_largest_first()
    {
        // By hand: 9 to rank 0, 7 to 1, 6 to 1 (7 < 9), 5 to 0 (9 < 13), 4 to 1 (13 < 14).
        Assert.Equal([1, 0, 1, 0, 1], StepShare.Owners([7, 9, 6, 5, 4], 2));
        Assert.Equal([0, 1, 2], StepShare.Owners([3, 3, 3], 4));
        Assert.Equal([0, 0], StepShare.Owners([3, 5], 1));
    }

    [Theory]
    [InlineData(1000, 1, 64)]
    [InlineData(1000, 4, 64)]
    [InlineData(100, 4, 25)]
    [InlineData(101, 4, 26)]
    public void A_step_is_cut_so_that_every_rank_has_a_part(long tokens, int ranks, int most)
    {
        TrainingOptions options = s_long with { Compute = s_long.Compute with { MicroBatchTokens = 64 } };
        Assert.Equal(most, StepShare.MostTokens(options, tokens, ranks));
        Assert.Equal(64, StepShare.MostTokens(options with { Compat = Compatibility.Paper }, tokens, ranks));
    }

    private static (StepMetrics[] Metrics, float[][] Weights) Train(string kind, int ranks, string shard)
    {
        using var folder = new Testing.TemporaryFolder();
        TrainingOptions options = Options(kind);
        options = options with { Compute = options.Compute with { Shard = shard } };
        float[][] weights = ThreadRanks.Run(ranks, communicator =>
        {
            using var run = new TinyRun(options, new CpuBackend(1), communicator: communicator);
            TrainingSet set = kind == "full" ? TrainingSet.AllPositive(run.Set.Examples) : run.Set;
            TrainingSet? unlearned = kind == "unlearning" ? TrainingSet.AllNegative(TinyRun.Examples(5).Examples) : null;
            new Trainer(
                run.Decoder, set, options, folder.Path, unlearned: unlearned,
                regularizer: Regularizers.Create(options.Optimizer, run.Decoder.Config), communicator: communicator).Run();
            return run.Weights();
        });
        return ([.. StepMetrics.Read(Path.Combine(folder.Path, "metrics.jsonl"))], weights);
    }

    private static TrainingOptions Options(string kind) => kind switch
    {
        "lora" => s_lora,
        "paper" => s_long with
        {
            Compat = Compatibility.Paper,
            Compute = s_long.Compute with { MicroBatchTokens = 20 },
            TokenForgetting = s_long.TokenForgetting with { Lambda = LambdaKind.Linear },
        },
        "unlearning" => s_long with
        {
            Unlearning = s_long.Unlearning with { Interval = 5, Weight = 0.05, BatchSize = 3 },
        },
        "bss" => s_long with { Optimizer = s_long.Optimizer with { Regularizer = RegularizerKind.Bss, RegularizerWeight = 0.01 } },
        "srs" => s_long with { Optimizer = s_long.Optimizer with { Regularizer = RegularizerKind.Srs, RegularizerWeight = 0.01 } },
        _ => s_long,
    };

    /// <summary>A rank on which someone asks the run to stop, after so many calls.</summary>
    private sealed class StopsAfter(ICommunicator inner, int rank, int calls, CancellationTokenSource source) : ICommunicator
    {
        private int _calls;

        public int Rank => inner.Rank;

        public int Size => inner.Size;

        public void AllReduce(Span<float> values)
        {
            if (++_calls == calls && Rank == rank)
                source.Cancel();

            inner.AllReduce(values);
        }

        public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own) => inner.ReduceScatter(values, own);

        public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => inner.AllGather(own, all);

        public byte[][] Gather(ReadOnlySpan<byte> own) => inner.Gather(own);

        public void Dispose()
        {
        }
    }
}
