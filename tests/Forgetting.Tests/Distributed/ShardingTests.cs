using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>What ranks divide: who has what, what checkpoints say of it, and how much memory it takes.</summary>
public sealed class ShardingTests : IDisposable
{
    private static readonly TrainingOptions s_run = TinyRun.Full with
    {
        Schedule = TinyRun.Full.Schedule with { BatchSize = 8, Steps = 20 },
        Optimizer = TinyRun.Full.Optimizer with { Clip = 1 },
        Unlearning = TinyRun.Full.Unlearning with { Interval = 5, Weight = 0.05, BatchSize = 3 },
        Checkpoints = TinyRun.Full.Checkpoints with { Every = 12, Keep = 5 },
    };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Every_element_is_one_ranks_and_parameters_begin_at_256_bytes(int ranks)
    {
        using var backend = new CpuBackend(1);
        var found = new Dictionary<(string, long), int>();
        for (int rank = 0; rank < ranks; rank++)
        {
            using var decoder = new Decoder(TinyRun.Config, backend, sharding: new Sharding(rank, ranks, Gradients: true));
            decoder.AllocateGradients();
            foreach (ParameterRun run in decoder.TrainableRuns)
            {
                Assert.Equal(run.Shape.Count, ranks * run.OwnShape.Count);
                Assert.All(run.Parameters, p => Assert.Equal(0, (p.Value.Pointer - run.Value.Pointer) % 256));
                Assert.Equal(run.OwnShape, run.OwnGradient.Shape);
                Assert.Single(run.Parameters.Select(p => (p.Unit, p.Kind == ParameterKind.Vector)).Distinct());
                foreach ((Parameter parameter, long first, Tensor values) in run.PartsOf(run.OwnMaster))
                {
                    Assert.Equal(parameter.Value.Elements(first, 0).Pointer, values.Pointer);
                    for (long i = first; i < first + values.Count; i++)
                    {
                        Assert.True(found.TryAdd((parameter.Name, i), rank), $"{parameter.Name} {i} is of two ranks");
                    }
                }
            }
        }

        Assert.Equal(Decoder.Describe(TinyRun.Config).Base.Sum(p => p.Shape.Count), found.Count);
        Assert.All(Enumerable.Range(0, ranks), rank => Assert.Contains(rank, found.Values));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Exchanges_are_sums_and_parts_in_the_order_of_ranks_whatever_the_sizes(int ranks)
    {
        // More than goes at once, and so little that several go together.
        int[] sizes = [5, 2_500_000, 1, 3000];
        float[][][] all = ThreadRanks.Run(ranks, communicator =>
        {
            using var backend = new CpuBackend(1);
            var exchange = new RankExchange(communicator, backend);
            var memory = new List<DeviceBuffer>();
            Tensor[] whole = [.. sizes.Select((size, t) => New(size * ranks, i => Value(t, communicator.Rank, i)))],
                own = [.. sizes.Select(size => New(size, _ => 0))], gathered = [.. sizes.Select(size => New(size * ranks, _ => 0))];
            exchange.ReduceScatter([.. whole.Zip(own)]);
            exchange.AllGather([.. gathered.Zip(own)]);
            exchange.AllReduce(whole);
            float[][] results = [.. own.Concat(gathered).Concat(whole).Select(t => t.AsSpan<float>().ToArray())];
            memory.ForEach(m => m.Dispose());
            return results;

            Tensor New(int count, Func<int, float> value)
            {
                memory.Add(backend.Allocate((long)count * sizeof(float)));
                Tensor tensor = memory[^1].AsTensor(new Shape(count), DType.Float32);
                backend.Upload<float>([.. Enumerable.Range(0, count).Select(value)], tensor);
                return tensor;
            }
        });
        for (int t = 0; t < sizes.Length; t++)
        {
            float[] sum = [.. Enumerable.Range(0, sizes[t] * ranks).Select(i => Sum(t, i))];
            for (int rank = 0; rank < ranks; rank++)
            {
                Assert.True(sum.AsSpan(rank * sizes[t], sizes[t]).SequenceEqual(all[rank][t]), $"part {rank} of tensor {t}");
                Assert.True(sum.AsSpan().SequenceEqual(all[rank][sizes.Length + t]), $"tensor {t} gathered on {rank}");
                Assert.True(sum.AsSpan().SequenceEqual(all[rank][(2 * sizes.Length) + t]), $"tensor {t} reduced on {rank}");
            }
        }

        float Sum(int tensor, int i) => Enumerable.Range(0, ranks).Aggregate(0f, (sum, rank) => sum + Value(tensor, rank, i));

        static float Value(int tensor, int rank, int i) => (0.1f * tensor) + (0.01f * rank) + ((i * 7919L) % 1013);
    }

    [Fact]
    public void A_checkpoint_has_whole_tensors_and_other_ranks_resume_from_it_however_they_divide_them()
    {
        StepMetrics[] whole = Train("whole", 1, "none");
        Dictionary<string, float[]> expected = Tensors("whole");
        foreach ((int ranks, string shard) in new[] { (2, "optimizer"), (3, "gradients"), (4, "gradients") })
        {
            string name = $"{ranks} {shard}";
            StepMetrics[] uninterrupted = Train(name, ranks, shard);
            Dictionary<string, float[]> found = Tensors(name);
            Assert.Equal(expected.Keys.Order(), found.Keys.Order());
            Assert.All(expected, pair => Assert.All(
                pair.Value.Zip(found[pair.Key]), values => Assert.Equal(values.First, values.Second, 1e-4)));

            // As many, divided the same way: the same bits as without a stop. Others: within rounding.
            foreach ((int others, string how) in new[] { (ranks, shard), (1, "none"), (3, "optimizer"), (2, "gradients") })
            {
                string copy = $"{name} to {others} {how}";
                CopyTo(name, copy);
                StepMetrics[] resumed = Train(copy, others, how, resume: true);
                Assert.Equal(20, resumed.Length);
                if ((others, how) == (ranks, shard))
                    Assert.Equal(uninterrupted.Select(m => (m.Loss, m.GradNorm)), resumed.Select(m => (m.Loss, m.GradNorm)));
                else
                    Assert.All(whole.Zip(resumed), pair => DataParallelTests.Close(pair.First.Loss, pair.Second.Loss));
            }
        }
    }

    [Fact]
    public void Moments_in_8_bits_are_divided_block_by_block()
    {
        TrainingOptions options = s_run with { Optimizer = s_run.Optimizer with { Kind = "adamw8bit" } };
        StepMetrics[] whole = Train("whole", 1, "none", options), divided = Train("divided", 3, "gradients", options);
        Assert.All(whole.Zip(divided), pair => Assert.Equal(pair.First.Loss, pair.Second.Loss, 1e-3));
        using SafeTensorsFile first = SafeTensorsFile.Open(_folder["whole", "checkpoints/step-000012/training.safetensors"]),
            second = SafeTensorsFile.Open(_folder["divided", "checkpoints/step-000012/training.safetensors"]);
        Assert.Contains(first.Tensors, t => t.Name.EndsWith(".exp_avg_sq.absmax", StringComparison.Ordinal));
        Assert.Equal(Layout(first), Layout(second));

        CopyTo("divided", "resumed");
        CopyTo("divided", "alone");
        Assert.Equal(
            divided.Select(m => (m.Loss, m.GradNorm)),
            Train("resumed", 3, "gradients", options, resume: true).Select(m => (m.Loss, m.GradNorm)));
        Assert.All(
            divided.Zip(Train("alone", 1, "none", options, resume: true)),
            pair => Assert.Equal(pair.First.Loss, pair.Second.Loss, 1e-3));

        static IEnumerable<(string, StoredType, string)> Layout(SafeTensorsFile file) =>
            file.Tensors.Select(t => (t.Name, t.Type, t.ShapeText)).Order();
    }

    [Theory]
    [InlineData(0, "none")]
    [InlineData(0, "optimizer")]
    [InlineData(0, "gradients")]
    [InlineData(4, "optimizer")]
    [InlineData(4, "gradients")]
    public void A_rank_takes_the_memory_that_was_planned(int lora, string shard)
    {
        TrainingOptions options = s_run with
        {
            Lora = s_run.Lora with { Rank = lora, Alpha = 8 },
            Compute = s_run.Compute with { Shard = shard, MicroBatchTokens = 64 },
            Unlearning = TinyRun.Full.Unlearning,
            Method = TrainingMethod.Full,
            Schedule = s_run.Schedule with { Steps = 3 },
        };
        var states = new List<long>();
        foreach (int ranks in new[] { 1, 2, 4 })
        {
            string folder = _folder[$"{ranks}"];
            TrainingSet set = TrainingSet.AllPositive(TinyRun.Examples(12).Examples);
            LoraConfig? adapter = lora == 0 ? null : new LoraConfig { Rank = lora, Alpha = 8, Dropout = options.Lora.Dropout };
            MemoryPlan plan = MemoryPlan.Create(
                TinyRun.Config, options, "cpu", DType.Float32, adapter, new(set.Examples, []), ranks: ranks);
            long[] measured = ThreadRanks.Run(ranks, communicator =>
            {
                using var run = new TinyRun(options, new CpuBackend(1), communicator: communicator);
                new Trainer(run.Decoder, set, options, folder, communicator: communicator).Run();
                return run.Decoder.Backend.Use.Peak;
            });
            Assert.Equal(plan.Peak, measured[0], 0.02 * measured[0]);
            Assert.All(measured, each => Assert.Equal(plan.Peak, each, 0.1 * each));
            states.Add(plan.State);
        }

        // Bytes a parameter: 4 of gradients and 8 of moments, of which ranks divide these, or all but for the unit that a pass is in. What
        // makes parts equal is up to 128 elements a parameter and rank.
        long whole = states[0], count = whole / 12, filling = 100 * 128 * sizeof(float);
        foreach ((int ranks, long state) in new[] { 2, 4 }.Zip(states[1..]))
        {
            long least = shard switch
            {
                "none" => whole,
                "optimizer" => (4 * count) + (8 * count / ranks),
                _ => 12 * count / ranks,
            };
            Assert.InRange(state, least, least + (shard == "none" ? 0 : filling) + (shard == "gradients" ? 2 * count : 0));
        }
    }

    [Fact]
    public void What_has_nothing_to_divide_is_refused()
    {
        TrainingOptions options = s_run with { Model = "m", Out = _folder["run"], Data = s_run.Data with { Path = "d" } };
        options = options with { Compute = options.Compute with { Shard = "optimizer" }, Unlearning = TinyRun.Full.Unlearning };
        using var backend = new CpuBackend(1);
        Assert.Equal(
            "shard is optimizer with one process, which has nothing to divide; expected --ranks of at least 2, or shard none",
            Assert.Throws<UserException>(() => TuneRun.Execute(options, backend)).Message);
        Assert.False(Directory.Exists(_folder["run"]));
    }

    // The state after 12 of 20 steps.
    private Dictionary<string, float[]> Tensors(string run)
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(_folder[run, "checkpoints/step-000012/training.safetensors"]);
        return file.Tensors.ToDictionary(t => t.Name, t =>
        {
            using MappedView view = t.Map(0, t.Bytes);
            return System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(view.Bytes).ToArray();
        });
    }

    // As a run that was killed behind that step would leave it.
    private void CopyTo(string from, string to)
    {
        foreach (string file in Directory.GetFiles(_folder[from, "checkpoints/step-000012"]))
        {
            _folder.Write($"{to}/checkpoints/step-000012/{Path.GetFileName(file)}", "");
            File.Copy(file, _folder[to, $"checkpoints/step-000012/{Path.GetFileName(file)}"], overwrite: true);
        }

        File.WriteAllLines(_folder[to, "metrics.jsonl"], File.ReadLines(_folder[from, "metrics.jsonl"]).Take(12));
    }

    private StepMetrics[] Train(string name, int ranks, string shard, TrainingOptions? given = null, bool resume = false)
    {
        TrainingOptions options = (given ?? s_run) with { Compute = s_run.Compute with { Shard = shard } };
        ModelConfig config = options.Optimizer.In8Bits ? TinyRun.Wide : TinyRun.Config;
        ThreadRanks.Run(ranks, communicator =>
        {
            using var run = new TinyRun(options, new CpuBackend(1), config, communicator);
            TrainingSet unlearned = TrainingSet.AllNegative(TinyRun.Examples(5).Examples);
            new Trainer(run.Decoder, run.Set, options, _folder[name], unlearned: unlearned, communicator: communicator).Run(resume);
            return 0;
        });
        return [.. StepMetrics.Read(_folder[name, "metrics.jsonl"])];
    }
}
