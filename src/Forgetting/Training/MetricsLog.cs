using System.Security.Cryptography;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Training;

/// <summary><c>metrics.jsonl</c> while it is written: a line a step, readable by others at any time.</summary>
internal sealed class MetricsLog : IDisposable
{
    private readonly string _path;
    private readonly FileStream _stream;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <summary>Opens the file and drops what lies behind <paramref name="length"/>: the lines of steps that will be done again.</summary>
    /// <param name="hash">Hash that what comes before is to have.</param>
    /// <exception cref="UserException">The file cannot be written, or what comes before is not what it was.</exception>
    public MetricsLog(string path, long length, string hash)
    {
        _path = path;
        Temporary.RefuseLink(path);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            _stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
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
        byte[] before = new byte[length];
        _stream.ReadExactly(before);
        _hash.AppendData(before);
        if (Hash() != hash)
        {
            Dispose();
            throw new UserException($"{path}: has changed since the checkpoint was written; it cannot be continued");
        }
    }

    /// <summary>Hash of a file without a line.</summary>
    public static string HashOfNothing { get; } = Convert.ToHexStringLower(SHA256.HashData([]));

    /// <summary>Appends a step.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Append(StepMetrics metrics)
    {
        byte[] line = JsonLines.Line(metrics);
        Guarded(() => _stream.Write(line));
        _hash.AppendData(line);
    }

    /// <summary>Brings all lines to the disk and says how many bytes they are, and their hash.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public (long Length, string Hash) Flush()
    {
        Guarded(() => _stream.Flush(flushToDisk: true));
        return (_stream.Length, Hash());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _hash.Dispose();
    }

    private string Hash() => Convert.ToHexStringLower(_hash.GetCurrentHash());

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
