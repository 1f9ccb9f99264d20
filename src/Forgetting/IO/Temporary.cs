namespace Forgetting.IO;

/// <summary>What <see cref="AtomicFile"/> and <see cref="AtomicDirectory"/> share: names beside the target, cleaning up, and the line for a failed write.</summary>
internal static class Temporary
{
    /// <summary>A name in the target's folder, hence on its disk, so that the rename is one step.</summary>
    public static string NameBeside(string path) =>
        Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.tmp");

    /// <summary>A new file without a buffer of its own: whatever was written has reached the system, so closing after a failure cannot fail again.</summary>
    public static FileStream Create(string path) => new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);

    /// <summary>Removes a file or folder if it is there; never hides the error that led here.</summary>
    public static void Delete(string path)
    {
        try
        {
            if (Directory.Exists(path))
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
}
