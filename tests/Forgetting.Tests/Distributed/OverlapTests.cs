using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Distributed;

/// <summary>Gradients that are exchanged behind a backward pass are those that are exchanged after it.</summary>
public sealed class OverlapTests
{
    [Theory]
    [InlineData(2, true, 2)]
    [InlineData(3, true, 3)]
    [InlineData(3, false, 2)]
    public void Sums_are_the_same_bits_whatever_is_exchanged_when(int ranks, bool tied, int layers)
    {
        ModelConfig config = TinyRun.Config with { TiedHead = tied, Layers = layers };
        float[][][] expected = Sums(ranks, config, sharding: null, long.MaxValue);
        Assert.All(expected[1..], rank => Assert.Equal(expected[0], rank));
        Assert.All(expected[0], parameter => Assert.Contains(parameter, value => value != 0));
        foreach (long bucket in new[] { 1L, 3000 })
        {
            Assert.All(Sums(ranks, config, sharding: null, bucket), rank => Assert.Equal(expected[0], rank));
        }

        // Divided, each rank has its part of them and the others nothing. What lies apart has products of its own, which round differently.
        float[][] divided = Whole(Sums(ranks, config, sharding: false, long.MaxValue));
        Assert.All(expected[0].Zip(divided), pair => Assert.All(pair.First.Zip(pair.Second), v => Assert.Equal(v.First, v.Second, 1e-5f)));
        Assert.Equal(divided, Whole(Sums(ranks, config, sharding: false, bucket: 1)));

        // Unit by unit; each rank has a pass at most, so that sums are in the same order but for a table with two units.
        float[][] byUnit = Whole(Sums(ranks, config, sharding: true, long.MaxValue));
        Assert.Equal(divided.Skip(tied ? 1 : 0), byUnit.Skip(tied ? 1 : 0));
        Assert.All(divided[0].Zip(byUnit[0]), v => Assert.Equal(v.First, v.Second, 1e-5f));
    }

    // With an adapter the head and the embedding have nothing to sum; a pass must wait all the same for what lies where it goes on.
    [Fact]
    public void A_pass_waits_for_what_lies_in_its_memory_where_some_units_are_frozen()
    {
        ModelConfig config = TinyRun.Config with { Layers = 5 };
        var lora = new LoraConfig { Rank = 2, Alpha = 4 };
        float[][] expected = Whole(Sums(2, config, sharding: false, long.MaxValue, lora));
        Assert.Contains(expected, parameter => parameter.Any(value => value != 0));
        Assert.Equal(expected, Whole(Sums(2, config, sharding: true, long.MaxValue, lora)));
    }

    [Fact]
    public void What_fills_a_bucket_is_exchanged_before_the_step_asks_for_the_sums()
    {
        bool[] begun = ThreadRanks.Run(2, ranks =>
        {
            using var backend = new CpuBackend(1);
            using var decoder = new Decoder(TinyRun.Config, backend);
            decoder.Initialize(7);
            var told = new Told(ranks);
            var gradients = new SharedGradients(told, decoder, bucketBytes: 1);
            Pass(decoder, gradients, ranks.Rank);
            Assert.Equal(0, told.Count); // not the last pass
            gradients.BeginLast();
            Pass(decoder, gradients, ranks.Rank);
            bool isBehind = SpinWait.SpinUntil(() => told.Count > TinyRun.Config.Layers, TimeSpan.FromSeconds(60));
            gradients.Sum();
            Assert.True(gradients.TakeTimes() is { } times && times.Taken > TimeSpan.Zero && times.Waited > TimeSpan.Zero);
            Assert.Equal((TimeSpan.Zero, TimeSpan.Zero), gradients.TakeTimes());
            Assert.Null(new SharedGradients(SingleProcess.Instance, decoder).TakeTimes());
            return isBehind;
        });
        Assert.Equal([true, true], begun);
    }

    [Fact]
    public void A_rank_that_is_lost_meanwhile_ends_the_step()
    {
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(TinyRun.Config, backend);
        decoder.Initialize(7);
        var gradients = new SharedGradients(new Lost(), decoder, bucketBytes: 1);
        gradients.BeginLast();
        Pass(decoder, gradients, 0);
        Assert.StartsWith("error: rank 1", Assert.Throws<PeerException>(gradients.Sum).Message, StringComparison.Ordinal);
    }

    private static float[][] Whole(float[][][] parts) =>
    [
        .. parts[0].Select((_, parameter) => parts.Select(rank => rank[parameter])
            .Aggregate((one, other) => [.. one.Zip(other, (a, b) => a + b)])),
    ];

    // Of each rank, what it has of the sum of each parameter's gradient; 0 for what it has not.
    private static float[][][] Sums(
        int ranks, ModelConfig config, bool? sharding, long bucket, LoraConfig? lora = null) => ThreadRanks.Run(ranks, communicator =>
    {
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(
            config, backend, lora, sharding: sharding is { } gradients ? new Sharding(communicator.Rank, ranks, gradients) : null);
        decoder.Initialize(7);
        var shared = new SharedGradients(new Told(communicator), decoder, bucketBytes: bucket);

        // The last rank has nothing to compute of this step.
        if (communicator.Rank + 1 < ranks)
        {
            shared.BeginLast();
            Pass(decoder, shared, communicator.Rank);
        }
        else
        {
            shared.Join();
        }

        shared.Sum();
        return decoder.TrainableParameters.Select(parameter => Own(decoder, parameter)).ToArray();
    });

    private static float[] Own(Decoder decoder, Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        if (decoder.Sharding is null)
        {
            decoder.Backend.Download<float>(parameter.Gradient, values);
            return values;
        }

        foreach (ParameterRun run in decoder.TrainableRuns)
        {
            foreach ((Parameter of, long first, Tensor part) in run.PartsOf(run.OwnGradient))
            {
                if (of == parameter)
                    decoder.Backend.Download<float>(part, values.AsSpan((int)first, (int)part.Count));
            }
        }

        return values;
    }

    private static void Pass(Decoder decoder, SharedGradients gradients, int rank)
    {
        EncodedExample[] examples =
        [
            .. Enumerable.Range(0, 2).Select(i => new EncodedExample
            {
                Index = i, Ids = [1 + rank, 3, 2 + i, 5, 4 + rank], Response = [false, true, true, true, true],
            }),
        ];
        float[][] weights = [.. examples.Select(_ => new float[] { 0, 0.3f, 0.1f, 0.2f, 0.4f })];
        TokenBatch batch = BatchBuilder.Create(examples, new MicroBatch(0, 2, 0), weights);
        decoder.ForwardBackward(batch, default, gradients.Sink, new float[batch.HeadRows.Length]);
    }

    // Counts what is summed over ranks, and takes its time to divide it, as long as a small model's pass.
    private sealed class Told(ICommunicator ranks) : ICommunicator
    {
        private int _count;

        public int Rank => ranks.Rank;

        public int Size => ranks.Size;

        public int Count => Volatile.Read(ref _count);

        public void AllReduce(Span<float> values)
        {
            ranks.AllReduce(values);
            Interlocked.Increment(ref _count);
        }

        public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own)
        {
            Thread.Sleep(20);
            ranks.ReduceScatter(values, own);
        }

        public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => ranks.AllGather(own, all);

        public byte[][] Gather(ReadOnlySpan<byte> own) => ranks.Gather(own);

        public void Dispose()
        {
        }
    }

    private sealed class Lost : ICommunicator
    {
        public int Rank => 0;

        public int Size => 2;

        public void AllReduce(Span<float> values) => throw PeerException.OfLoss("rank 1 has ended without a word");

        public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own) => throw new NotSupportedException();

        public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => throw new NotSupportedException();

        public byte[][] Gather(ReadOnlySpan<byte> own) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
