using System.Diagnostics;
using System.Text.Json.Serialization;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>What a stage of a run cost.</summary>
public sealed record StageRecord
{
    /// <summary>Name of the stage.</summary>
    public required string Name { get; init; }

    /// <summary>Fingerprint of what the stage's result depends on.</summary>
    public required string Inputs { get; init; }

    /// <summary>Time it took, in the process that finished it; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Seconds { get; init; }

    /// <summary>Most memory the process had resident meanwhile; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? PeakMemoryBytes { get; init; }
}

/// <summary>
/// The stages of a run that leave a file or folder each, in <c>stages.jsonl</c> beside them. A stage whose result is there, finished and of the same inputs, is not done again.
/// </summary>
internal sealed class StageLog
{
    private readonly string _path;
    private readonly ITrainingObserver? _observer;
    private readonly List<StageRecord> _records;

    /// <summary>Opens the log of a folder.</summary>
    /// <exception cref="UserException">It is malformed.</exception>
    public StageLog(string folder, ITrainingObserver? observer)
    {
        _path = Path.Combine(folder, "stages.jsonl");
        _observer = observer;
        _records = File.Exists(_path) ? [.. JsonLines.Read<StageRecord>(_path)] : [];
    }

    /// <summary>The finished stages.</summary>
    public IReadOnlyList<StageRecord> Finished => [.. _records.Where(r => r.Seconds != null)];

    /// <summary>Does a stage unless its result is there.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="what">What it does, for the observer.</param>
    /// <param name="result">File or folder it leaves, whole or not at all.</param>
    /// <param name="inputs">All that the result depends on.</param>
    /// <param name="compute">Does it; what an unfinished attempt with the same inputs left may be used.</param>
    /// <param name="discard">Removes what attempts with other inputs left.</param>
    public void Run(string name, string what, string result, Fingerprint inputs, Action compute, Action? discard = null)
    {
        string fingerprint = inputs.ToString();
        StageRecord? known = _records.Find(r => r.Name == name);
        if (known?.Inputs == fingerprint && known.Seconds != null && (File.Exists(result) || Directory.Exists(result)))
        {
            _observer?.StageBegan($"{what}: done before");
            return;
        }

        if (known != null && known.Inputs != fingerprint)
            discard?.Invoke();

        _observer?.StageBegan(what);
        var record = new StageRecord { Name = name, Inputs = fingerprint };
        Write(record);
        long started = Stopwatch.GetTimestamp();
        using var meter = new MemoryMeter();
        compute();
        Write(record with { Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds, PeakMemoryBytes = meter.Peak });
    }

    private void Write(StageRecord record)
    {
        int place = _records.FindIndex(r => r.Name == record.Name);
        if (place < 0)
            _records.Add(record);
        else
            _records[place] = record;

        JsonLines.Write(_path, _records);
    }

    /// <summary>Looks at the resident memory every few milliseconds: the system's own peak is that of the whole process, whatever stage it was in.</summary>
    private sealed class MemoryMeter : IDisposable
    {
        private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

        private readonly Timer _timer;
        private long _peak;

        public MemoryMeter() => _timer = new Timer(_ => Look(), null, TimeSpan.Zero, Interval);

        public long Peak
        {
            get
            {
                Look();
                return Interlocked.Read(ref _peak);
            }
        }

        public void Dispose() => _timer.Dispose();

        private void Look()
        {
            long now = Environment.WorkingSet, peak;
            while (now > (peak = Interlocked.Read(ref _peak)) && Interlocked.CompareExchange(ref _peak, now, peak) != peak)
            {
            }
        }
    }
}
