using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// The folder of a run, held by one process at a time: a second one is refused. What a killed process was writing in it is cleared, and
/// nothing is written through a symbolic
/// link or over files that are not a run's.
/// </summary>
internal sealed class RunFolder : IDisposable
{
    /// <summary>Name of the file with a run's settings.</summary>
    public const string RecordName = "run.yaml";

    /// <summary>Name of the file that a tuning run leaves when it is finished.</summary>
    internal const string SummaryName = "summary.json";

    internal const string LockName = ".lock";

    // What a run leaves besides its record.
    private static readonly string[] s_results =
    [
        "metrics.jsonl", StageLog.FileName, SummaryName, "report.html", "checkpoints", "model", "model-best", "adapter", "adapter-best",
        .. MethodList.All.SelectMany(m => m.Files.Concat(m.Folders.Where(f => Path.GetDirectoryName(f)!.Length == 0))).Distinct(),
    ];

    // Where a run writes; folders of other runs may lie below it, which others may be at work in.
    private static readonly string[] s_writing = ["", "checkpoints", .. MethodList.All.SelectMany(m => m.Folders).Distinct()];

    private LockFile? _lock;

    private RunFolder(string path) => FolderPath = path;

    /// <summary>Path as given.</summary>
    public string FolderPath { get; }

    /// <summary>Whether there is a run, finished or not.</summary>
    public bool HasRun => File.Exists(Path.Combine(FolderPath, RecordName));

    /// <summary>Opens a folder, and holds it if it is there already: one that is not comes to be by <see cref="Hold"/>, once all input
    /// has been looked at.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="UserException">Another process holds it, it cannot be written, or a result in it is a symbolic link.</exception>
    public static RunFolder Open(string path)
    {
        var folder = new RunFolder(path);
        if (Directory.Exists(path))
            folder.Hold();
        else
            AtomicDirectory.CheckWritable(path);

        return folder;
    }

    /// <summary>Creates the folder where it is not there, and holds it until disposal.</summary>
    /// <exception cref="UserException">Another process holds it, or it cannot be written.</exception>
    public void Hold()
    {
        if (_lock != null)
            return;

        try
        {
            Directory.CreateDirectory(FolderPath);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Temporary.CannotWrite(FolderPath, error);
        }

        string name = Path.Combine(FolderPath, LockName);
        _lock = LockFile.Take(name)
            ?? throw new UserException(
                $"{FolderPath}: another run is at work in this folder (it holds {name}); wait for it or choose another folder");
        foreach (string place in s_writing)
        {
            string folder = Path.Combine(FolderPath, place);
            if (new DirectoryInfo(folder).LinkTarget is null || place.Length == 0)
                Temporary.ClearStale(folder);
        }
    }

    /// <summary>Settings of the run in a folder, with which it resumes; null where there is none.</summary>
    /// <exception cref="UserException">Its record is malformed, or not as the run wrote it.</exception>
    public static TrainingOptions? SettingsOf(string path) => RunRecord.Read(path)?.Options;

    /// <summary>Refuses results that are not of a run, or that lead elsewhere.</summary>
    /// <exception cref="UserException">Something has the name of a result, and there is no run; or it is a symbolic link.</exception>
    public void CheckResults()
    {
        foreach (string name in s_results.Append(RecordName))
        {
            string path = Path.Combine(FolderPath, name);
            Temporary.RefuseLink(path);
            if (!HasRun && Path.Exists(path))
            {
                throw new UserException(
                    $"{FolderPath}: holds {name} but no {RecordName}: it is not of a run, "
                    + "and a run would replace it; choose another folder");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _lock?.Dispose();
        _lock = null;
    }
}
