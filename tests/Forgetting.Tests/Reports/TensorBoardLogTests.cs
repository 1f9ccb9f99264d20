using System.Buffers.Binary;
using System.Text;
using Forgetting.IO;
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
                case 5: Summary(input.ReadBytes().ToByteArray(), found.Scalars); break;
                case 7: found.IsStart = input.ReadBytes().ToByteArray() is [8, 1]; break;
                default: throw new InvalidDataException($"tag {tag}");
            }
        }

        return found;
    }

    private static void Summary(byte[] data, Dictionary<string, float> scalars)
    {
        var input = new CodedInputStream(data);
        while (input.ReadTag() != 0)
        {
            var value = new CodedInputStream(input.ReadBytes().ToByteArray());
            value.ReadTag();
            string name = value.ReadString();
            Assert.Equal(WireFormat.MakeTag(2, WireFormat.WireType.Fixed32), value.ReadTag());
            scalars.Add(name, value.ReadFloat());
            Assert.True(value.IsAtEnd);
        }
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
    }

    private sealed class Silent : ITrainingObserver;
}
