using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Runs;
using Forgetting.Training;

namespace Forgetting.Reports;

/// <summary>How far a run is.</summary>
internal enum RunState
{
    /// <summary>Its folder holds no run yet.</summary>
    Awaited,

    /// <summary>Its folder is held by a process that is at work, or that was killed.</summary>
    AtWork,

    /// <summary>Nobody is at work in it, and it is not at its end.</summary>
    Interrupted,

    /// <summary>It has its summary.</summary>
    Finished,
}

/// <summary>
/// A run's folder, read again and again while the run is at work: what is new of <c>metrics.jsonl</c>, or all of it where a resumed run has
/// cut it. A line that is half written is left for the next time.
/// </summary>
/// <param name="folder">The run's folder, there or not.</param>
internal sealed class LiveRun(string folder)
{
    private const string MetricsName = "metrics.jsonl";

    private const int MostSamples = 5, MostCharacters = 600;

    private readonly List<StepMetrics> _steps = [];
    private readonly StepExamples _examples = new(folder);
    private byte[] _lastLine = []; // with its line feed
    private long _read; // bytes of whole lines
    private string _seen = "";

    /// <summary>The run's folder.</summary>
    public string Folder => folder;

    /// <summary>Its steps so far.</summary>
    public IReadOnlyList<StepMetrics> Steps => _steps;

    /// <summary>How often <see cref="Steps"/> began anew; until the next time they only grow.</summary>
    public int Restarts { get; private set; }

    /// <summary>How far it is.</summary>
    public RunState State { get; private set; }

    /// <summary>Its settings; null before there are any, and where they cannot be read.</summary>
    public TrainingOptions? Options { get; private set; }

    /// <summary>What it does before its steps, or what of its files cannot be read; or null.</summary>
    public string? Note { get; private set; }

    /// <summary>Some of the texts that the base wrote of its own accord, where the method has them.</summary>
    public IReadOnlyList<string> Samples { get; private set; } = [];

    /// <summary>Some of the last step's examples, where the run has scored its tokens.</summary>
    public IReadOnlyList<ScoredText> Current { get; private set; } = [];

    /// <summary>When a step was last written; null before the first.</summary>
    public DateTime? LastWritten { get; private set; }

    /// <summary>Whether it has left a report.</summary>
    public bool HasReport => File.Exists(ReportPath);

    /// <summary>Where it leaves its report.</summary>
    public string ReportPath => Path.Combine(folder, "report.html");

    /// <summary>Reads what is new.</summary>
    /// <returns>Whether anything is.</returns>
    public bool Update()
    {
        try
        {
            string seen = Look();
            bool isNew = seen != _seen;
            _seen = seen;
            return isNew;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or UserException)
        {
            // A file that comes and goes while a run begins; or one that is not what it should be, which the page says.
            bool isNew = Note != error.Message;
            (Note, _seen) = (error.Message, "");
            return isNew;
        }
    }

    private string Look()
    {
        string record = Path.Combine(folder, RunFolder.RecordName);
        State = !File.Exists(record) ? RunState.Awaited
            : File.Exists(Path.Combine(folder, RunFolder.SummaryName)) ? RunState.Finished
            : File.Exists(Path.Combine(folder, RunFolder.LockName)) ? RunState.AtWork
            : RunState.Interrupted;
        ReadSteps();
        string stage = _steps.Count == 0 ? Stage() ?? "" : "";
        Note = stage.Length == 0 ? null : stage;
        string settings = Stamp(record), samples = Path.Combine(
            folder, LearningWithForgettingMethod.FolderName, LearningWithForgettingMethod.SamplesName);
        string seen = $"{State} {_read} {LastWritten:O} {stage} {settings} {Stamp(samples)} {HasReport}";
        if (seen != _seen)
        {
            Options = settings.Length == 0 ? null : Recipe.ReadRun(record);
            Samples = File.Exists(samples) ? [.. File.ReadLines(samples).Take(MostSamples).Select(Sample)] : [];
            Current = _steps.Count > 0 && Options is { } options ? _examples.Read(_steps[^1], options) : [];
        }

        return seen;
    }

    /// <summary>Reads the steps that are new, and nothing else.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UserException">A line is no step.</exception>
    public void ReadSteps()
    {
        string path = Path.Combine(folder, MetricsName);
        if (!File.Exists(path))
        {
            Forget();
            return;
        }

        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        if (!IsAsItWas(file))
            Forget();

        file.Position = _read;
        byte[] rest = new byte[file.Length - _read];
        int count = file.ReadAtLeast(rest, rest.Length, throwOnEndOfStream: false);
        LastWritten = File.GetLastWriteTimeUtc(path);
        ReadOnlySpan<byte> lines = rest.AsSpan(0, count);
        while (lines.IndexOf((byte)'\n') is >= 0 and var end)
        {
            ReadOnlySpan<byte> line = lines[..(end + 1)];
            Add(line);
            _lastLine = line.ToArray();
            _read += line.Length;
            lines = lines[line.Length..];
        }
    }

    // A run that resumes drops the lines behind its checkpoint and writes them again, with other times.
    private bool IsAsItWas(FileStream file)
    {
        if (file.Length < _read)
            return false;

        byte[] before = new byte[_lastLine.Length];
        file.Position = _read - before.Length;
        return file.ReadAtLeast(before, before.Length, throwOnEndOfStream: false) == before.Length
            && before.AsSpan().SequenceEqual(_lastLine);
    }

    private void Add(ReadOnlySpan<byte> line)
    {
        if (line.Trim(" \t\r\n"u8).IsEmpty)
            return;

        try
        {
            _steps.Add(JsonSerializer.Deserialize<StepMetrics>(line, JsonLines.Options)
                ?? throw new UserException($"{MetricsName}: found null after step {LastStep}, expected a step"));
        }
        catch (JsonException error)
        {
            throw new UserException($"{MetricsName}: the line after step {LastStep} is no step: {JsonLines.Reason(error)}", error);
        }
    }

    private int LastStep => _steps.Count == 0 ? 0 : _steps[^1].Step;

    private void Forget()
    {
        _steps.Clear();
        (_read, _lastLine, LastWritten) = (0, [], null);
        Restarts++;
    }

    // The stage that was begun last, of those that have a line of their own.
    private string? Stage()
    {
        foreach (string place in (string[])["", LearningWithForgettingMethod.FolderName])
        {
            if (StageLog.Read(Path.Combine(folder, place)) is [.., var last])
                return last.Result is null ? $"stage: {last.Name}" : $"stage {last.Name} is done";
        }

        return null;
    }

    // The texts of a line's fields: prompt and completion, or whatever it has.
    private static string Sample(string line)
    {
        try
        {
            using JsonDocument record = JsonDocument.Parse(line);
            string text = string.Join(
                " → ", record.RootElement.EnumerateObject().Where(field => field.Value.ValueKind == JsonValueKind.String)
                    .Select(field => field.Value.GetString()));
            return text.Length <= MostCharacters ? text : text[..MostCharacters] + "…";
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // Half written, or no object.
            return "…";
        }
    }

    private static string Stamp(string path) => File.Exists(path) ? $"{File.GetLastWriteTimeUtc(path):O}" : "";
}
