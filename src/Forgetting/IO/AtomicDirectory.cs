using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Folders that appear whole or not at all: filled under a temporary name beside the target, flushed, then renamed; an old one is exchanged
/// for the new one in one step where the system can.
/// </summary>
internal static class AtomicDirectory
{
    /// <summary>
    /// Fills a folder through <paramref name="fill"/>, which receives the temporary folder's path. An existing target is replaced only if
    /// it is
    /// empty or holds <paramref name="marker"/> and no folders, so that a mistyped path never costs anyone their files.
    /// </summary>
    /// <param name="path">The folder to appear.</param>
    /// <param name="marker">File that tells a folder of this kind, such as <c>config.json</c>.</param>
    /// <exception cref="UserException">The target is something else, cannot be written, or the disk is full; nothing is left
    /// behind.</exception>
    public static void Write(string path, string marker, Action<string> fill)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        CheckReplaceable(path, full, marker);
        string beside = Temporary.NameBeside(full);
        try
        {
            Directory.CreateDirectory(beside);
            fill(beside);
            FlushFiles(beside);
            Replace(full, beside);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Temporary.CannotWrite(path, error);
        }
        finally
        {
            Temporary.Delete(beside);
        }
    }

    /// <summary>Finds out before a long computation whether files can be written in <paramref name="path"/>; leaves nothing.</summary>
    /// <exception cref="UserException">They cannot.</exception>
    public static void CheckWritable(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (File.Exists(full))
            throw new UserException($"{path}: is a file, expected a folder to write to");

        Temporary.CheckWritable(path, full);
    }

    private static void CheckReplaceable(string path, string full, string marker)
    {
        if (File.Exists(full))
            throw new UserException($"{path}: is a file, expected a folder to write to");

        if (!Directory.Exists(full) || !Directory.EnumerateFileSystemEntries(full).Any())
            return;

        if (!File.Exists(Path.Combine(full, marker)) || Directory.EnumerateDirectories(full).Any())
        {
            throw new UserException(
                $"{path}: exists and is not a folder that this replaces (one with {marker} and no folders in it); choose another");
        }
    }

    private static void FlushFiles(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.ReadWrite);
            stream.Flush(flushToDisk: true);
        }
    }

    private static void Replace(string full, string beside)
    {
        if (!Directory.Exists(full))
            Directory.Move(beside, full);
        else if (FolderExchange.Try(beside, full))
            Temporary.Delete(beside);
        else
            StepAside(full, beside);
    }

    /// <summary>
    /// Replaces where the two cannot be exchanged in one step, a folder not being renamed over another that has contents: the old one
    /// steps aside first and comes back if the
    /// rename fails, or if this process is killed in between, by <see cref="Temporary.ClearStale"/>.
    /// </summary>
    internal static void StepAside(string full, string beside)
    {
        string old = Temporary.AsideOf(full);
        Directory.Move(full, old);
        try
        {
            Directory.Move(beside, full);
        }
        catch
        {
            Directory.Move(old, full);
            throw;
        }

        Temporary.Delete(old);
    }
}
