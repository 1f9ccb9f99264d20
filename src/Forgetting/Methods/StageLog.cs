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

    /// <summary>True where the result was copied from another run that had computed it; time and memory are what it took there. Else null.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Reused { get; init; }

    /// <summary>Time it took, in the process that finished it; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Seconds { get; init; }

    /// <summary>Most memory the process had resident meanwhile; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? PeakMemoryBytes { get; init; }
}

/// <summary>
/// The stages of a run that leave a file or folder each, in <c>stages.jsonl</c> beside them. A stage whose result is there, finished and of the same inputs, is not done again,
/// and one that another run has finished is copied from there.
/// </summary>
internal sealed class StageLog
{
    private const string FileName = "stages.jsonl";

    private readonly string _folder;
    private readonly IReadOnlyList<string> _others;
    private readonly ITrainingObserver? _observer;
    private readonly List<StageRecord> _records;

    /// <summary>Opens the log of a folder.</summary>
    /// <param name="others">Folders of other runs' stages, there or not, from which results may be taken.</param>
    /// <exception cref="UserException">It is malformed.</exception>
    public StageLog(string folder, IReadOnlyList<string> others, ITrainingObserver? observer)
    {
        _folder = folder;
        _others = [.. others.Where(o => Path.GetFullPath(o) != Path.GetFullPath(folder))];
        _observer = observer;
        _records = Read(folder);
    }

    /// <summary>The finished stages.</summary>
    public IReadOnlyList<StageRecord> Finished => [.. _records.Where(r => r.Seconds != null)];

    /// <summary>Does a stage unless its result is there.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="what">What it does, for the observer.</param>
    /// <param name="result">File or folder it leaves, whole or not at all: its path below the log's folder.</param>
    /// <param name="inputs">All that the result depends on.</param>
    /// <param name="compute">Does it; what an unfinished attempt with the same inputs left may be used.</param>
    /// <param name="discard">Removes what attempts with other inputs left.</param>
    public void Run(string name, string what, string result, Fingerprint inputs, Action compute, Action? discard = null)
    {
        string fingerprint = inputs.ToString();
        StageRecord? known = _records.Find(r => r.Name == name);
        if (known?.Inputs == fingerprint && known.Seconds != null && Path.Exists(Path.Combine(_folder, result)))
        {
            _observer?.StageBegan($"{what}: done before");
            return;
        }

        if (known != null && known.Inputs != fingerprint)
            discard?.Invoke();

        if (FindElsewhere(name, fingerprint, result) is var (other, found))
        {
            _observer?.StageBegan($"{what}: done before in {other}");
            Copy(Path.Combine(other, result), Path.Combine(_folder, result));
            Write(found with { Reused = true });
            return;
        }

        _observer?.StageBegan(what);
        var record = new StageRecord { Name = name, Inputs = fingerprint };
        Write(record);
        long started = Stopwatch.GetTimestamp();
        using var meter = new MemoryMeter();
        compute();
        Write(record with { Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds, PeakMemoryBytes = meter.Peak });
    }

    private static List<StageRecord> Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        return File.Exists(path) ? [.. JsonLines.Read<StageRecord>(path)] : [];
    }

    private (string Folder, StageRecord Record)? FindElsewhere(string name, string fingerprint, string result)
    {
        foreach (string other in _others)
        {
            if (Read(other).Find(r => r.Name == name && r.Inputs == fingerprint && r.Seconds != null) is { } record && Path.Exists(Path.Combine(other, result)))
                return (other, record);
        }

        return null;
    }

    // With the times of its files, by which later stages know what they were computed from.
    private static void Copy(string source, string target)
    {
        if (File.Exists(source))
        {
            AtomicFile.Write(target, stream =>
            {
                using FileStream from = File.OpenRead(source);
                from.CopyTo(stream);
            });
            File.SetLastWriteTimeUtc(target, File.GetLastWriteTimeUtc(source));
            return;
        }

        AtomicDirectory.Write(target, "config.json", beside =>
        {
            foreach (string file in Directory.EnumerateFiles(source))
            {
                string copy = Path.Combine(beside, Path.GetFileName(file));
                File.Copy(file, copy);
                File.SetLastWriteTimeUtc(copy, File.GetLastWriteTimeUtc(file));
            }
        });
    }

    private void Write(StageRecord record)
    {
        int place = _records.FindIndex(r => r.Name == record.Name);
        if (place < 0)
            _records.Add(record);
        else
            _records[place] = record;

        JsonLines.Write(Path.Combine(_folder, FileName), _records);
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
