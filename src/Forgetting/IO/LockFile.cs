using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// A file that says that someone is at work, for as long as its process lives: the system releases the lock (<c>flock</c>, or a sharing
/// mode on Windows) of a process that was
/// killed. It is gone when the work is done; one that a killed process left is taken over.
/// </summary>
internal sealed class LockFile : IDisposable
{
    private readonly FileStream _stream;

    private LockFile(FileStream stream) => _stream = stream;

    /// <summary>Takes the lock.</summary>
    /// <param name="path">The file, in a folder that is there.</param>
    /// <returns>Null where another process, or another run in this one, holds it.</returns>
    /// <exception cref="UserException">The file cannot be written.</exception>
    public static LockFile? Take(string path)
    {
        Temporary.RefuseLink(path);
        try
        {
            return new LockFile(new FileStream(
                path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0, FileOptions.DeleteOnClose));
        }
        catch (IOException error) when (IsTaken(error))
        {
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Temporary.CannotWrite(path, error);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    // EWOULDBLOCK on Linux and on macOS, ERROR_SHARING_VIOLATION on Windows.
    private static bool IsTaken(IOException error) => error.HResult is 11 or 35 or unchecked((int)0x80070020);
}
