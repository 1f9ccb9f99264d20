using System.Buffers.Binary;
using System.Text;
using Forgetting.IO;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Reports;
using Forgetting.Testing;
using Forgetting.Training;
using Google.Protobuf;
using Xunit;

namespace Forgetting.Tests.Reports;

/// <summary>Event files, decoded by Google's reader of protocol buffers and a CRC-32C that goes bit by bit.</summary>
public sealed class TensorBoardLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_step_becomes_an_event_with_its_scalars()
    {
        using (var log = new TensorBoardLog(_folder.Path, new Silent()))
        {
            Append(Step(1, null));
            log.StepDone(Step(1, null), 2);

            // A step of a stage, which is not in the run's file.
            log.StepDone(Step(1, null), 9);
            Append(Step(2, 0.25) with
            {
                GradientCosine = -0.5,
                Evaluation = new Dictionary<string, double> { ["valid/loss"] = 2.5, ["a/ü"] = 7 },
            });
            log.StepDone(Step(2, 0.25), 2);
        }

        string file = Assert.Single(Files());
        Event[] events = Read(file);

        // The record that begins any of TensorFlow's own event files: 24 bytes and their checksum.
        Assert.Equal("1800000000000000A37F4B22", Convert.ToHexString(File.ReadAllBytes(file)[..12]));
        Assert.Equal("brain.Event:2", events[0].Version);
        Assert.Equal([0L, 1, 2], events.Select(e => e.Step));
        double now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        Assert.All(events, e => Assert.InRange(e.Time, now - 600, now + 1));
        Assert.Equal(
            new Dictionary<string, float>
            {
                ["loss/objective"] = 1.5f, ["loss/tokens_to_learn"] = 1.25f, ["lambda"] = 0, ["learning_rate"] = 0.125f,
                ["gradient/norm"] = 3, ["tokens_per_second"] = 40,
            },
            events[1].Scalars);
        Assert.Equal((0.25f, -0.5f), (events[2].Scalars["loss/negative_tokens"], events[2].Scalars["gradient/cosine"]));
        Assert.Equal((2.5f, 7), (events[2].Scalars["valid/loss"], events[2].Scalars["a/ü"]));
    }

    [Fact]
    public void A_resumed_run_says_where_it_goes_on_and_repeats_nothing()
    {
        using (var log = new TensorBoardLog(_folder.Path, new Silent()))
        {
            Append(Step(1, null), Step(2, null), Step(3, null));
            log.StepDone(Step(3, null), 5);
        }

        // Another process goes on from step 1, where the checkpoint was; its stages come before it cuts the file.
        File.Move(Files().Single(), _folder["events.out.tfevents.0000000001.earlier"]);
        using (var log = new TensorBoardLog(_folder.Path, new Silent()))
        {
            log.StepDone(Step(1, null), 9);
            File.Delete(_folder["metrics.jsonl"]);
            Append(Step(1, null), Step(2, null) with { ElapsedSeconds = 70 });
            log.StepDone(Step(2, null), 5);
            Append(Step(3, null) with { ElapsedSeconds = 80 });
            log.StepDone(Step(3, null), 5);
        }

        Event[] events = Read(Files().Single(file => !file.EndsWith("earlier", StringComparison.Ordinal)));
        Assert.Equal([(0L, false), (2, true), (2, false), (3, false)], events.Select(e => (e.Step, e.IsStart)));
    }

    [Fact]
    public void The_influence_of_scored_tokens_is_a_histogram_before_the_first_step()
    {
        var random = new Random(3);
        float[][] influence =
            [.. Enumerable.Range(0, 5).Select(_ => Enumerable.Range(0, 30).Select(_ => random.NextSingle() - 0.3f).ToArray())];
        File.WriteAllBytes(_folder["scores.jsonl"], [.. influence.SelectMany((values, i) => JsonLines.Line(new ExampleScores
        {
            Index = i, Ids = new int[30], Response = [.. values.Select((_, t) => t < 10 ? 0 : 1)], BaseLoss = new float[30],
            ReferenceLoss = new float[30], Influence = values,
            Sign = [.. values.Select((v, t) => t < 10 ? 0 : v > 0 ? 1 : t < 15 ? 0 : -1)],
        }))]);
        using (var log = new TensorBoardLog(_folder.Path, new Silent()))
        {
            Append(Step(1, null));
            log.StepDone(Step(1, null), 2);
        }

        Event[] events = Read(Assert.Single(Files()));
        Assert.Equal([0L, 0, 1], events.Select(e => e.Step));
        Assert.Equal(
            ["influence/all_tokens", "influence/negative_tokens", "influence/tokens_to_learn"], events[1].Histograms.Keys.Order());
        double[] all = [.. influence.SelectMany(values => values[10..]).Select(v => (double)v)];
        Check(events[1].Histograms["influence/all_tokens"], all);
        Check(events[1].Histograms["influence/tokens_to_learn"], [.. all.Where(v => v > 0)]);
        Check(
            events[1].Histograms["influence/negative_tokens"],
            [.. influence.SelectMany(values => values[15..]).Where(v => v <= 0).Select(v => (double)v)]);

        // A second process of the same run has nothing to add.
        File.Move(Files().Single(), _folder["events.out.tfevents.0000000001.earlier"]);
        using (var log = new TensorBoardLog(_folder.Path, new Silent()))
        {
            Append(Step(2, null));
            log.StepDone(Step(2, null), 2);
        }

        Assert.All(Read(Files().Single(file => !file.EndsWith("earlier", StringComparison.Ordinal))), e => Assert.Empty(e.Histograms));
    }

    private static void Check(double[][] histogram, double[] values)
    {
        double[] expected = [values.Min(), values.Max(), values.Length, values.Sum(), values.Sum(v => v * v)];
        Assert.All(expected.Zip(histogram), pair => Assert.Equal(pair.First, pair.Second.Single(), 1e-9));
        (double[] limits, double[] counts) = (histogram[5], histogram[6]);
        Assert.Equal(limits.Length, counts.Length);
        Assert.Equal(limits.Order(), limits);
        Assert.Equal(values.Max(), limits[^1]);
        for (int i = 0; i < limits.Length; i++)
        {
            // Half open, but for the last.
            double low = i == 0 ? double.NegativeInfinity : limits[i - 1];
            Assert.Equal(counts[i], values.Count(v => v >= low && (v < limits[i] || i == limits.Length - 1)));
        }
    }

    private string[] Files() => Directory.GetFiles(_folder.Path, "events.out.tfevents.*");

    private void Append(params StepMetrics[] steps)
    {
        using FileStream file = new(_folder["metrics.jsonl"], FileMode.Append);
        steps.ToList().ForEach(step => file.Write(JsonLines.Line(step)));
    }

    private static StepMetrics Step(int step, double? negative) => new()
    {
        Step = step, Steps = 5, Loss = 1.5, PositiveLoss = 1.25, NegativeLoss = negative, Lambda = 0, LearningRate = 0.125, GradNorm = 3,
        Tokens = 10, TokensPerSecond = 40, ElapsedSeconds = step,
    };

    private static Event[] Read(string file)
    {
        List<Event> events = [];
        ReadOnlySpan<byte> rest = File.ReadAllBytes(file);
        while (rest.Length > 0)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(rest);
            Assert.Equal(Masked(rest[..8]), BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]));
            ReadOnlySpan<byte> data = rest.Slice(12, length);
            Assert.Equal(Masked(data), BinaryPrimitives.ReadUInt32LittleEndian(rest[(12 + length)..]));
            events.Add(Decode(data.ToArray()));
            rest = rest[(16 + length)..];
        }

        return [.. events];
    }

    private static Event Decode(byte[] data)
    {
        var found = new Event();
        var input = new CodedInputStream(data);
        while (input.ReadTag() is not 0 and var tag)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 1: found.Time = input.ReadDouble(); break;
                case 2: found.Step = input.ReadInt64(); break;
                case 3: found.Version = input.ReadString(); break;
                case 5: Summary(input.ReadBytes().ToByteArray(), found); break;
                case 7: found.IsStart = input.ReadBytes().ToByteArray() is [8, 1]; break;
                default: throw new InvalidDataException($"tag {tag}");
            }
        }

        return found;
    }

    private static void Summary(byte[] data, Event found)
    {
        var input = new CodedInputStream(data);
        while (input.ReadTag() != 0)
        {
            var value = new CodedInputStream(input.ReadBytes().ToByteArray());
            value.ReadTag();
            string name = value.ReadString();
            uint tag = value.ReadTag();
            if (tag == WireFormat.MakeTag(5, WireFormat.WireType.LengthDelimited))
            {
                found.Histograms.Add(name, Histogram(value.ReadBytes().ToByteArray()));
            }
            else
            {
                Assert.Equal(WireFormat.MakeTag(2, WireFormat.WireType.Fixed32), tag);
                found.Scalars.Add(name, value.ReadFloat());
            }

            Assert.True(value.IsAtEnd);
        }
    }

    // Fields 1 to 5 are numbers, 6 and 7 lists of them.
    private static double[][] Histogram(byte[] data)
    {
        List<double[]> fields = [];
        var input = new CodedInputStream(data);
        while (input.ReadTag() is not 0 and var tag)
        {
            Assert.Equal(fields.Count + 1, WireFormat.GetTagFieldNumber(tag));
            fields.Add(fields.Count < 5
                ? [input.ReadDouble()]
                : System.Runtime.InteropServices.MemoryMarshal.Cast<byte, double>(input.ReadBytes().ToByteArray()).ToArray());
        }

        return [.. fields];
    }

    private static uint Masked(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78);
            }
        }

        crc = ~crc;
        return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
    }

    private sealed class Event
    {
        public double Time { get; set; }

        public long Step { get; set; }

        public string? Version { get; set; }

        public bool IsStart { get; set; }

        public Dictionary<string, float> Scalars { get; } = [];

        public Dictionary<string, double[][]> Histograms { get; } = [];
    }

    private sealed class Silent : ITrainingObserver;
}
