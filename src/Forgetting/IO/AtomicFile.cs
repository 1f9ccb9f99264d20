using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Files that appear whole or not at all: written beside the target, flushed to disk, then renamed over it. A run that is killed at any
/// moment leaves either the old file or the new one.
/// </summary>
internal static class AtomicFile
{
    /// <summary>Writes a file through <paramref name="write"/>; creates its folder where needed and replaces an existing file.</summary>
    /// <exception cref="UserException">The folder or file cannot be written, or the disk is full; nothing is left behind.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        string full = Path.GetFullPath(path);
        string beside = Temporary.NameBeside(full);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            using (FileStream stream = Temporary.Create(beside))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(beside, full, overwrite: true);
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

    /// <summary>Finds out before a long computation whether its result can be written to <paramref name="path"/>; leaves nothing.</summary>
    /// <exception cref="UserException">It cannot.</exception>
    public static void CheckWritable(string path)
    {
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full))
            throw new UserException($"{path}: is a folder, expected a file to write");

        Temporary.CheckWritable(path, Path.GetDirectoryName(full)!);
    }

    /// <summary>Writes text as UTF-8 without a byte order mark.</summary>
    /// <exception cref="UserException">See <see cref="Write"/>.</exception>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));
}
