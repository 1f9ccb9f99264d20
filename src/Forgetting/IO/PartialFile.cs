using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Records of a long computation as they come, in the file <c>NAME.partial</c> beside the one that will hold them all. Its first line
/// says what the records were computed from;
/// records of anything else are not continued. What a process that was killed, or a disk that was full, left half written is dropped, and
/// so is what follows a damaged line.
/// </summary>
internal sealed class PartialFile<T> : IDisposable
{
    private readonly string _path;
    private readonly FileStream _stream;
    private readonly List<T> _records = [];
    private readonly List<long> _ends = []; // where each record's line ends; first the header's

    private PartialFile(string path)
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
    }

    /// <summary>What has been computed so far.</summary>
    public IReadOnlyList<T> Records => _records;

    /// <summary>Opens the partial file of <paramref name="target"/>, or begins it.</summary>
    /// <param name="inputs">Fingerprint of what the records are computed from.</param>
    /// <exception cref="UserException">Not writable, or something else has the name.</exception>
    public static PartialFile<T> Open(string target, string inputs)
    {
        var file = new PartialFile<T>(target + ".partial");
        byte[] header = SealedLine.Of(new Header(inputs));
        byte[] found = new byte[file._stream.Length];
        file._stream.ReadExactly(found);
        if (!IsOwn(found, header))
        {
            file.Dispose();
            throw new UserException(
                $"{target}.partial: is no work in progress of this program, which writes under that name; move it away");
        }

        if (found.AsSpan().StartsWith(header))
        {
            file._ends.Add(header.Length);
            file.Continue(found);
        }
        else
        {
            file.Write(0, header);
            file._ends.Add(header.Length);
        }

        return file;
    }

    /// <summary>Appends records and brings them to the disk.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Append(IReadOnlyList<T> records)
    {
        byte[][] lines = [.. records.Select(r => SealedLine.Of(r))];
        Write(_ends[^1], [.. lines.SelectMany(l => l)]);
        _records.AddRange(records);
        foreach (byte[] line in lines)
        {
            _ends.Add(_ends[^1] + line.Length);
        }
    }

    /// <summary>Drops all records but the first <paramref name="count"/>.</summary>
    public void Truncate(int count)
    {
        _records.RemoveRange(count, _records.Count - count);
        _ends.RemoveRange(count + 1, _ends.Count - count - 1);
        _stream.SetLength(_ends[^1]);
    }

    /// <summary>Removes the file, once its records are in their own.</summary>
    public void Delete()
    {
        _stream.Dispose();
        Temporary.Delete(_path);
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    // The header is the first thing written: a file of this program begins with one, or with the part of one that was written when the
    // process was killed.
    private static bool IsOwn(ReadOnlySpan<byte> found, byte[] header)
    {
        ReadOnlySpan<byte> key = header.AsSpan(0, header.AsSpan().IndexOf((byte)':') + 1);
        return found.StartsWith(key) || key.StartsWith(found);
    }

    private void Continue(byte[] found)
    {
        long end = _ends[^1];
        while (Array.IndexOf(found, (byte)'\n', (int)end) is var newline and >= 0)
        {
            if (!SealedLine.TryRead<T>(found.AsSpan((int)end, newline - (int)end), out var record))
                break;

            _records.Add(record);
            _ends.Add(end = newline + 1);
        }

        _stream.SetLength(end);
    }

    private void Write(long position, byte[] bytes)
    {
        try
        {
            _stream.SetLength(position);
            _stream.Position = position;
            _stream.Write(bytes);
            _stream.Flush(flushToDisk: true);
        }
        catch (IOException error)
        {
            throw Temporary.CannotWrite(_path, error);
        }
    }

    private sealed record Header(string Inputs);
}
