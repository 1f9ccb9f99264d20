using System.Text;
using System.Text.Json;

namespace Forgetting.IO;

/// <summary>
/// Records of a long computation as they come, in the file <c>NAME.partial</c> beside the one that will hold them all. Its first line says what the records were computed from;
/// records of anything else are not continued. What a process that was killed, or a disk that was full, left half written is dropped.
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
    /// <exception cref="UserException">Not writable.</exception>
    public static PartialFile<T> Open(string target, string inputs)
    {
        var file = new PartialFile<T>(target + ".partial");
        byte[] header = JsonLines.Line(new Header(inputs));
        byte[] found = new byte[file._stream.Length];
        file._stream.ReadExactly(found);
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
        byte[][] lines = [.. records.Select(r => JsonLines.Line(r))];
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

    private void Continue(byte[] found)
    {
        long end = _ends[^1];
        while (Array.IndexOf(found, (byte)'\n', (int)end) is var newline and >= 0)
        {
            try
            {
                _records.Add(JsonSerializer.Deserialize<T>(Encoding.UTF8.GetString(found, (int)end, newline - (int)end), JsonLines.Options)!);
            }
            catch (JsonException)
            {
                break;
            }

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
