using Forgetting.IO;

namespace Forgetting.Training;

/// <summary><c>metrics.jsonl</c> while it is written: a line a step, readable by others at any time.</summary>
internal sealed class MetricsLog : IDisposable
{
    private readonly string _path;
    private readonly FileStream _stream;

    /// <summary>Opens the file and drops what lies behind <paramref name="length"/>: the lines of steps that will be done again.</summary>
    /// <exception cref="UserException">The file cannot be written, or is shorter than it was.</exception>
    public MetricsLog(string path, long length)
    {
        _path = path;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            _stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Temporary.CannotWrite(path, error);
        }

        if (_stream.Length < length)
        {
            _stream.Dispose();
            throw new UserException($"{path}: has fewer lines than when the checkpoint was written; it cannot be continued");
        }

        _stream.SetLength(length);
        _stream.Seek(0, SeekOrigin.End);
    }

    /// <summary>Appends a step.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Append(StepMetrics metrics) => Guarded(() => _stream.Write(JsonLines.Line(metrics)));

    /// <summary>Brings all lines to the disk and says how many bytes they are.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public long Flush()
    {
        Guarded(() => _stream.Flush(flushToDisk: true));
        return _stream.Length;
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    private void Guarded(Action write)
    {
        try
        {
            write();
        }
        catch (IOException error)
        {
            throw Temporary.CannotWrite(_path, error);
        }
    }
}
