using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Runs;

/// <summary>
/// The one rule for results that a command writes to a path of the user's: what is there already stays, unless it is said that it may be
/// replaced; and a path is written by one
/// command at a time. What a killed one left half written is cleared. (A run's folder has <see cref="RunFolder"/>.)
/// </summary>
internal sealed class OutputClaim : IDisposable
{
    private readonly LockFile? _lock;

    private OutputClaim(LockFile? held) => _lock = held;

    /// <summary>Claims a file to be written, before anything is computed.</summary>
    /// <param name="path">The file; its folder comes to be with it.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <exception cref="UserException">There is such a file, another command is writing it, or it cannot be written.</exception>
    public static OutputClaim OfFile(string path, bool overwrite)
    {
        AtomicFile.CheckWritable(path);
        return File.Exists(path) && !overwrite ? throw IsThere(path) : Take(path);
    }

    /// <summary>Claims a folder to be written, before anything is computed.</summary>
    /// <param name="path">The folder; an empty one is as good as none.</param>
    /// <param name="overwrite">Whether an existing folder of the same kind may be replaced.</param>
    /// <exception cref="UserException">There is such a folder, another command is writing it, or it cannot be written.</exception>
    public static OutputClaim OfFolder(string path, bool overwrite)
    {
        AtomicDirectory.CheckWritable(path);
        bool isThere = Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any();
        return isThere && !overwrite ? throw IsThere(path) : Take(Path.TrimEndingDirectorySeparator(path));
    }

    /// <inheritdoc/>
    public void Dispose() => _lock?.Dispose();

    private static UserException IsThere(string path) =>
        new($"{path}: is there already; choose another name, or give --overwrite to replace it");

    private static OutputClaim Take(string path)
    {
        string full = Path.GetFullPath(path), folder = Path.GetDirectoryName(full)!, name = Path.GetFileName(full);

        // Where the folder is yet to come, nobody can be writing in it.
        if (!Directory.Exists(folder))
            return new(null);

        LockFile held = LockFile.Take(Path.Combine(folder, $".{name}.lock"))
            ?? throw new UserException($"{path}: another command is writing it; wait for it or choose another name");
        Temporary.ClearStale(folder, name);
        return new(held);
    }
}
