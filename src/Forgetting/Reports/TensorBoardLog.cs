using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>
/// A run's metrics, and histograms of its tokens' influence, as TensorBoard reads them: files of events beside <c>metrics.jsonl</c>, one
/// for each process that worked on the run, of records with checksums (TensorFlow's <c>record_writer.h</c>, <c>event.proto</c> and
/// <c>summary.proto</c>). Where a resumed run goes back to a checkpoint, an event says so, and TensorBoard drops what lies behind it.
/// </summary>
internal sealed class TensorBoardLog : ITrainingObserver, IDisposable
{
    private const string Prefix = "events.out.tfevents.";

    private readonly string _folder;
    private readonly ITrainingObserver _inner;
    private readonly LiveRun _run;
    private readonly List<StepMetrics> _written = [];
    private readonly bool _isFirst;
    private int _restarts; // of _run, as of what is written
    private FileStream? _file;

    /// <param name="folder">The run's folder, which may come to be later.</param>
    /// <param name="inner">Is told everything too.</param>
    public TensorBoardLog(string folder, ITrainingObserver inner)
    {
        (_folder, _inner, _run) = (folder, inner, new LiveRun(folder));
        _isFirst = !Directory.Exists(folder) || !Directory.EnumerateFiles(folder, Prefix + "*").Any();
        if (_isFirst)
            return;

        // An earlier process wrote what is there.
        _run.ReadSteps();
        _written.AddRange(_run.Steps);
    }

    /// <inheritdoc/>
    public void StageBegan(string what) => _inner.StageBegan(what);

    /// <inheritdoc/>
    public void Noticed(string what) => _inner.Noticed(what);

    /// <inheritdoc/>
    public void Progressed(long done, long total) => _inner.Progressed(done, total);

    /// <inheritdoc/>
    public void StepDone(StepMetrics metrics, int steps)
    {
        // Stages have steps of their own; what is in the run's file are the run's.
        Write();
        _inner.StepDone(metrics, steps);
    }

    /// <inheritdoc/>
    public void CheckpointWritten(string path) => _inner.CheckpointWritten(path);

    /// <inheritdoc/>
    public void Dispose()
    {
        Write();
        _file?.Dispose();
    }

    private void Write()
    {
        _run.ReadSteps();
        int same = _restarts == _run.Restarts
            ? _written.Count
            : _written.Zip(_run.Steps).TakeWhile(pair => IsSame(pair.First, pair.Second)).Count();
        if (same == _written.Count && same == _run.Steps.Count)
            return;

        try
        {
            FileStream file = _file ??= Open();
            if (same < _written.Count)
            {
                Append(file, Event(_written[same].Step, Restart()));
                _written.RemoveRange(same, _written.Count - same);
            }

            _restarts = _run.Restarts;

            foreach (StepMetrics step in _run.Steps.Skip(same))
            {
                Append(file, Event(step.Step, Summary(step)));
                _written.Add(step);
            }

            file.Flush();
        }
        catch (IOException error)
        {
            throw Temporary.CannotWrite(_folder, error);
        }
    }

    private static bool IsSame(StepMetrics one, StepMetrics other) =>
        (one.Step, one.Loss, one.ElapsedSeconds) == (other.Step, other.Loss, other.ElapsedSeconds);

    private FileStream Open()
    {
        string name = string.Create(
            CultureInfo.InvariantCulture,
            $"{Prefix}{DateTimeOffset.UtcNow.ToUnixTimeSeconds():D10}.{Environment.MachineName}.{Environment.ProcessId}");
        var file = new FileStream(Path.Combine(_folder, name), FileMode.Append, FileAccess.Write, FileShare.Read);
        Append(file, Event(0, Field(3, "brain.Event:2"u8)));

        // Scores come before the first step and stay as they are.
        if (_isFirst && InfluenceHistograms.Read(_folder) is { Count: > 0 } all)
            Append(file, Event(0, Field(5, [.. all.SelectMany(one => Field(1, [.. Tag(one.Tag), .. Field(5, Histogram(one.Values))]))])));

        return file;
    }

    private static IEnumerable<(string Tag, double? Value)> Scalars(StepMetrics step) =>
    [
        ("loss/objective", step.Loss), ("loss/tokens_to_learn", step.PositiveLoss), ("loss/negative_tokens", step.NegativeLoss),
        ("loss/unlearnt_samples", step.ForgetLoss), ("regularizer", step.Regularizer), ("lambda", step.Lambda),
        ("learning_rate", step.LearningRate), ("gradient/norm", step.GradNorm), ("gradient/positive_norm", step.PositiveGradNorm),
        ("gradient/negative_norm", step.NegativeGradNorm), ("gradient/cosine", step.GradientCosine),
        ("tokens_per_second", step.TokensPerSecond),
        .. (step.Evaluation ?? new Dictionary<string, double>()).Select(one => (one.Key, (double?)one.Value)),
    ];

    // Field 5 of an event: a summary, whose values have a tag and a number.
    private static byte[] Summary(StepMetrics step) => Field(5,
    [
        .. Scalars(step).Where(scalar => scalar.Value is not null).SelectMany(scalar =>
        {
            Span<byte> number = stackalloc byte[sizeof(float)];
            BinaryPrimitives.WriteSingleLittleEndian(number, (float)scalar.Value!.Value);
            return Field(1, [.. Tag(scalar.Tag), Key(2, wire: 5), .. number]);
        }),
    ]);

    private static byte[] Tag(string tag) => Field(1, Encoding.UTF8.GetBytes(tag));

    // Least, most, count, sum and sum of squares, then ends and contents of the buckets.
    private static byte[] Histogram(Distribution distribution)
    {
        IReadOnlyList<double> values = distribution.Values;
        double[] numbers = [values.Min(), values.Max(), values.Count, values.Sum(), values.Sum(value => value * value)];
        IReadOnlyList<(double Limit, double Count)> buckets = distribution.Count();
        return
        [
            .. numbers.SelectMany((number, i) => (byte[])[Key(i + 1, wire: 1), .. Doubles([number])]),
            .. Field(6, Doubles(buckets.Select(bucket => bucket.Limit))), .. Field(7, Doubles(buckets.Select(bucket => bucket.Count))),
        ];
    }

    private static byte[] Doubles(IEnumerable<double> numbers) => [.. numbers.SelectMany(number =>
    {
        byte[] bytes = new byte[sizeof(double)];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, number);
        return bytes;
    })];

    // Field 7: a session's log, whose status 1 is a start.
    private static byte[] Restart() => Field(7, [Key(1, wire: 0), 1]);

    private static byte[] Event(long step, byte[] what)
    {
        Span<byte> time = stackalloc byte[sizeof(double)];
        BinaryPrimitives.WriteDoubleLittleEndian(time, (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).TotalSeconds);
        byte[] place = step == 0 ? [] : [Key(2, wire: 0), .. Varint((ulong)step)];
        return [Key(1, wire: 1), .. time, .. place, .. what];
    }

    private static byte[] Field(int number, ReadOnlySpan<byte> content) =>
        [Key(number, wire: 2), .. Varint((ulong)content.Length), .. content];

    private static byte Key(int number, int wire) => (byte)((number << 3) | wire);

    private static byte[] Varint(ulong value)
    {
        List<byte> bytes = [];
        for (; value >= 0x80; value >>= 7)
        {
            bytes.Add((byte)(value | 0x80));
        }

        return [.. bytes, (byte)value];
    }

    private static void Append(FileStream file, byte[] data)
    {
        Span<byte> length = stackalloc byte[sizeof(ulong)], checksum = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)data.Length);
        file.Write(length);
        BinaryPrimitives.WriteUInt32LittleEndian(checksum, Masked(length));
        file.Write(checksum);
        file.Write(data);
        BinaryPrimitives.WriteUInt32LittleEndian(checksum, Masked(data));
        file.Write(checksum);
    }

    // CRC-32C, turned and shifted, so that the checksum of data with checksums in it is none of them.
    private static uint Masked(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return BitOperations.RotateRight(~crc, 15) + 0xA282EAD8;
    }
}
