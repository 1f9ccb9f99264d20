using System.Diagnostics;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Distributed;
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

    /// <summary>True where the result was copied from another run that had computed it; time and memory are what it took there. Else
    /// null.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Reused { get; init; }

    /// <summary>Time it took, in the process that finished it; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Seconds { get; init; }

    /// <summary>Most memory the process had resident meanwhile; null while it is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? PeakMemoryBytes { get; init; }
}

/// <summary>A line of <c>stages.jsonl</c>.</summary>
internal sealed record StageEntry
{
    /// <summary>Name of the stage.</summary>
    public required string Name { get; init; }

    /// <summary>All that the stage's result depends on, by name.</summary>
    public required IReadOnlyDictionary<string, string> Inputs { get; init; }

    /// <summary>Hash of the result; null while the stage is not finished.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Result { get; init; }

    /// <summary>Folder of the stages of another run, from which the result was copied; null where it was computed here.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? From { get; init; }

    /// <summary>See <see cref="StageRecord.Reused"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public bool? Reused => From is null ? null : true;

    /// <summary>See <see cref="StageRecord.Seconds"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Seconds { get; init; }

    /// <summary>See <see cref="StageRecord.PeakMemoryBytes"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? PeakMemoryBytes { get; init; }

    /// <summary>What the summary says of it.</summary>
    public StageRecord ToRecord() =>
        new() { Name = Name, Inputs = Fingerprint.Digest(Inputs), Reused = Reused, Seconds = Seconds, PeakMemoryBytes = PeakMemoryBytes };
}

/// <summary>
/// The stages of a run that leave a file or folder each, in <c>stages.jsonl</c> beside them. A stage whose result is there, finished, of
/// the same inputs and undamaged is not done
/// again; one of other inputs is refused by the name of what differs; and one that another run has finished is copied from there.
/// </summary>
internal sealed class StageLog
{
    public const string FileName = "stages.jsonl";

    // Settings of a stage that may differ once it is finished: a finished run that goes on for longer keeps its stages.
    private static readonly string[] s_length = ["epochs", "steps"];

    private readonly string _folder;
    private readonly IReadOnlyList<string> _others;
    private readonly ITrainingObserver? _observer;
    private readonly ICommunicator _ranks;
    private readonly List<StageEntry> _entries;

    /// <summary>Opens the log of a folder.</summary>
    /// <param name="others">Folders of other runs' stages, there or not, from which results may be taken.</param>
    /// <param name="ranks">Do the stages together; the first decides what is to be done, and writes. Null for this process alone.</param>
    /// <exception cref="UserException">It is malformed.</exception>
    public StageLog(string folder, IReadOnlyList<string> others, ITrainingObserver? observer, ICommunicator? ranks = null)
    {
        _folder = folder;
        _others = [.. others.Where(o => Path.GetFullPath(o) != Path.GetFullPath(folder))];
        _observer = observer;
        _ranks = ranks ?? SingleProcess.Instance;
        _entries = Read(folder);
    }

    /// <summary>The finished stages.</summary>
    public IReadOnlyList<StageRecord> Finished => [.. _entries.Where(e => e.Result != null).Select(e => e.ToRecord())];

    /// <summary>Folder of the run whose result a stage took over; null where it computed its own, or is not finished.</summary>
    public string? SourceOf(string name) => Find(name)?.From;

    /// <summary>Does a stage unless its result is there.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="what">What it does, for the observer; null where <paramref name="compute"/> says so itself.</param>
    /// <param name="result">File or folder it leaves, whole or not at all: its path below the log's folder.</param>
    /// <param name="inputs">All that the result depends on.</param>
    /// <param name="compute">Does it; what an unfinished attempt left is of the same inputs and may be used.</param>
    /// <exception cref="UserException">The stage was begun with other inputs, or its result is damaged; names what differs.</exception>
    public void Run(string name, string? what, string result, IReadOnlyDictionary<string, string> inputs, Action compute)
    {
        if (!_ranks.FromFirst(() => IsDone(name, what, result, inputs)))
            Compute(name, result, inputs, compute);

        _ranks.Barrier(); // what the first has written the others may read
    }

    private void Compute(string name, string result, IReadOnlyDictionary<string, string> inputs, Action compute)
    {
        if (!_ranks.IsFirst())
        {
            compute();
            return;
        }

        var entry = new StageEntry { Name = name, Inputs = inputs };
        Write(entry);
        long started = Stopwatch.GetTimestamp();
        using var meter = new MemoryMeter();
        compute();
        Write(entry with
        {
            Result = FileHash.OfAll(Path.Combine(_folder, result)),
            Seconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            PeakMemoryBytes = meter.Peak,
        });
    }

    // Whether the result is there, or is now, from another run.
    private bool IsDone(string name, string? what, string result, IReadOnlyDictionary<string, string> inputs)
    {
        if (Find(name) is { } known)
        {
            CheckSame(known, inputs);
            if (known.Result != null && Path.Exists(Path.Combine(_folder, result)))
            {
                CheckWhole(Path.Combine(_folder, result), known.Result);
                _observer?.StageBegan($"{what ?? name}: done before");
                return true;
            }
        }

        if (FindElsewhere(name, inputs, result) is var (other, found))
        {
            _observer?.StageBegan($"{what ?? name}: done before in {other}");
            Copy(Path.Combine(other, result), Path.Combine(_folder, result));
            Write(found with { From = found.From ?? other });
            return true;
        }

        if (what != null)
            _observer?.StageBegan(what);

        return false;
    }

    /// <summary>The stages that were begun in a folder, in order; a finished one has a result.</summary>
    internal static List<StageEntry> Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        return File.Exists(path) ? [.. JsonLines.Read<StageEntry>(path)] : [];
    }

    private StageEntry? Find(string name) => _entries.Find(e => e.Name == name);

    private void CheckSame(StageEntry known, IReadOnlyDictionary<string, string> parts)
    {
        foreach (string part in known.Inputs.Keys.Union(parts.Keys))
        {
            string then = known.Inputs.GetValueOrDefault(part, "none"), now = parts.GetValueOrDefault(part, "none");
            if (then != now && !(known.Result != null && s_length.Contains(part)))
            {
                throw new UserException(
                    $"{Path.Combine(_folder, FileName)}: the stage {known.Name} was begun with another {part} "
                    + $"({Short(then)}, now {Short(now)}); "
                    + "a run resumes with what it began with");
            }
        }
    }

    private static string Short(string value) => value.Length > 24 ? $"{value[..12]}…" : value;

    private static void CheckWhole(string result, string hash)
    {
        if (FileHash.OfAll(result) != hash)
            throw new UserException($"{result}: is damaged: it is not what the run wrote; remove it to have it computed again");
    }

    private (string Folder, StageEntry Entry)? FindElsewhere(string name, IReadOnlyDictionary<string, string> parts, string result)
    {
        string inputs = Fingerprint.Digest(parts);
        foreach (string other in _others)
        {
            if (Read(other).Find(e => e.Name == name && e.Result != null && Fingerprint.Digest(e.Inputs) == inputs) is { } entry
                && Path.Combine(other, result) is var path && Path.Exists(path) && FileHash.OfAll(path) == entry.Result)
            {
                return (other, entry);
            }
        }

        return null;
    }

    private static void Copy(string source, string target)
    {
        if (File.Exists(source))
        {
            AtomicFile.Write(target, stream =>
            {
                using FileStream from = File.OpenRead(source);
                from.CopyTo(stream);
            });
            return;
        }

        AtomicDirectory.Write(target, "config.json", beside =>
        {
            foreach (string file in Directory.EnumerateFiles(source))
            {
                File.Copy(file, Path.Combine(beside, Path.GetFileName(file)));
            }
        });
    }

    private void Write(StageEntry entry)
    {
        int place = _entries.FindIndex(e => e.Name == entry.Name);
        if (place < 0)
            _entries.Add(entry);
        else
            _entries[place] = entry;

        JsonLines.Write(Path.Combine(_folder, FileName), _entries);
    }

    /// <summary>Looks at the resident memory every few milliseconds: the system's own peak is that of the whole process, whatever stage
    /// it was in.</summary>
    private sealed class MemoryMeter : IDisposable
    {
        private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(20);

        private readonly Timer _timer;
        private long _peak;

        public MemoryMeter() => _timer = new Timer(_ => Look(), null, TimeSpan.Zero, s_interval);

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
