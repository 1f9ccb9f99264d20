using System.Text.RegularExpressions;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>What <see cref="AtomicFile"/> and <see cref="AtomicDirectory"/> share: names beside the target, cleaning up, and the line for
/// a failed write.</summary>
internal static partial class Temporary
{
    /// <summary>Length of what <see cref="NameBeside"/> puts behind the target's name: a dot, a random name of 8 + 1 + 3 characters, and
    /// an ending of 4.</summary>
    private const int EndingLength = 17;

    /// <summary>A name in the target's folder, hence on its disk, so that the rename is one step.</summary>
    public static string NameBeside(string path) =>
        Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.tmp");

    /// <summary>A name for the folder that steps aside while another takes its place.</summary>
    public static string AsideOf(string path) => Path.ChangeExtension(NameBeside(path), ".old");

    /// <summary>
    /// Removes from a folder what a killed process was writing in it, and puts back a folder that had stepped aside for one that did not
    /// come. Only for who holds the lock on
    /// what is written there.
    /// </summary>
    /// <param name="folder">The folder; nothing happens where there is none.</param>
    /// <param name="name">Only what was to become this file or folder; null for everything.</param>
    public static void ClearStale(string folder, string? name = null)
    {
        if (!Directory.Exists(folder))
            return;

        foreach (string entry in Directory.EnumerateFileSystemEntries(folder, $".{name ?? "*"}.*").ToArray())
        {
            string file = Path.GetFileName(entry);
            if (!StaleName().IsMatch(file) || (name != null && file.Length != name.Length + 1 + EndingLength))
                continue;

            string target = Path.Combine(folder, file[1..^EndingLength]);
            if (file.EndsWith(".old", StringComparison.Ordinal) && !Path.Exists(target) && Directory.Exists(entry))
                Directory.Move(entry, target);
            else
                Delete(entry);
        }
    }

    /// <summary>Refuses to open a symbolic link for writing, which would change a file elsewhere.</summary>
    /// <exception cref="UserException">The path is a symbolic link.</exception>
    public static void RefuseLink(string path)
    {
        if (new FileInfo(path).LinkTarget is { } target)
        {
            throw new UserException(
                $"{path}: is a symbolic link to {target}, expected a file or folder of its own; nothing is written through it");
        }
    }

    /// <summary>A new file without a buffer of its own: whatever was written has reached the system, so closing after a failure cannot
    /// fail again.</summary>
    public static FileStream Create(string path) => new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);

    /// <summary>Removes a file or folder if it is there, a symbolic link without what it points to; never hides the error that led
    /// here.</summary>
    public static void Delete(string path)
    {
        try
        {
            if (Directory.Exists(path) && new DirectoryInfo(path).LinkTarget is null)
                Directory.Delete(path, recursive: true);
            else
                File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>Tries to write in a folder, or in the nearest one above it that exists.</summary>
    /// <param name="path">What the error names.</param>
    /// <exception cref="UserException">It cannot be written.</exception>
    public static void CheckWritable(string path, string folder)
    {
        while (!Directory.Exists(folder) && !File.Exists(folder) && Path.GetDirectoryName(folder) is { } above)
        {
            folder = above;
        }

        if (File.Exists(folder))
            throw new UserException($"{path}: cannot be written: {folder} is a file, expected a folder");

        string probe = NameBeside(Path.Combine(folder, "probe"));
        try
        {
            Create(probe).Dispose();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(path, error);
        }
        finally
        {
            Delete(probe);
        }
    }

    /// <summary>The one line for a write that failed.</summary>
    public static UserException CannotWrite(string path, Exception error)
    {
        // errno 28 on Unix, ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL on Windows.
        bool diskFull = error.HResult is 28 or unchecked((int)0x80070070) or unchecked((int)0x80070027);
        string reason = diskFull ? "no space left on the disk" : error.Message.ReplaceLineEndings(" ");
        return new UserException($"{path}: cannot be written: {reason}", error);
    }

    [GeneratedRegex(@"^\..+\.[a-z0-9]{8}\.[a-z0-9]{3}\.(tmp|old)$", RegexOptions.CultureInvariant)]
    private static partial Regex StaleName();
}
