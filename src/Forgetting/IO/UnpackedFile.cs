using System.IO.Compression;
using Forgetting.Core;
using ZstdSharp;

namespace Forgetting.IO;

/// <summary>
/// A file that is read from its beginning to its end, unpacked where it is packed by gzip or zstd, without the byte order mark.
/// </summary>
internal sealed class UnpackedFile : IDisposable
{
    /// <summary>What stands for standard input where a file is named.</summary>
    public const string StandardInput = "-";

    // Enough to know every kind by.
    private const int KindBytes = 16;

    private readonly string _path;
    private readonly Stream _stream;
    private readonly Stream _file;
    private byte[] _buffer = new byte[1 << 16];
    private int _start, _end;
    private bool _ended;

    /// <summary>Opens a file.</summary>
    /// <param name="path">The file; <c>-</c> for standard input, which is read to its end.</param>
    /// <param name="expected">What it may be, for the error.</param>
    /// <exception cref="UserException">It is missing, a folder, unreadable, or of another packed or binary
    /// format, which is named.</exception>
    public UnpackedFile(string path, string expected)
    {
        _path = path;
        try
        {
            _file = path == StandardInput ? ReadInput() : new FileStream(
                path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 1 << 16, FileOptions.SequentialScan);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }

        string? packed = InputFile.KindOf(Peek(_file));
        _stream = packed switch
        {
            "gzip" => new GZipStream(_file, CompressionMode.Decompress),
            "zstd" => new DecompressionStream(_file),
            _ => _file,
        };
        IsPacked = _stream != _file;
        while (_end < KindBytes && Fill())
        {
        }

        string? kind = InputFile.KindOf(_buffer.AsSpan(0, _end));
        IsParquet = kind == "Parquet";
        if (kind != null && !IsParquet)
        {
            Dispose();
            throw new UserException($"{path}: is a {kind} file, expected {expected}: unpack or convert it first");
        }

        _start = _buffer.AsSpan(0, _end).StartsWith("\uFEFF"u8) ? 3 : 0;
    }

    private bool IsPacked { get; }

    /// <summary>Whether it is a Parquet file.</summary>
    public bool IsParquet { get; }

    /// <summary>The first byte that is no white space; null where there is none.</summary>
    public byte? FirstByte()
    {
        for (int at = _start; ; at++)
        {
            if (at == _end && !Fill())
                return null;

            if (_buffer[at] is not ((byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n'))
                return _buffer[at];
        }
    }

    /// <summary>The next line without its line feed; null behind the last.</summary>
    /// <exception cref="UserException">The file is damaged.</exception>
    public byte[]? Line()
    {
        int searched = 0;
        while (true)
        {
            int end = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (end >= 0)
            {
                byte[] line = _buffer[_start..(_start + searched + end)];
                _start += line.Length + 1;
                return line;
            }

            searched = _end - _start;
            if (!Fill())
                return searched == 0 ? null : Take();
        }
    }

    /// <summary>All bytes that are left.</summary>
    /// <exception cref="UserException">The file is damaged, or too large to be read at once.</exception>
    public byte[] Rest()
    {
        while (Fill())
        {
        }

        return Take();
    }

    /// <summary>The whole file as a stream that can be read in any order.</summary>
    /// <exception cref="UserException">The file is damaged.</exception>
    public Stream Seekable()
    {
        if (IsPacked)
            return new MemoryStream(Rest());

        _file.Position = 0;
        return _file;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _file.Dispose();
    }

    private static MemoryStream ReadInput()
    {
        using Stream input = Console.OpenStandardInput();
        MemoryStream all = new();
        input.CopyTo(all);
        all.Position = 0;
        return all;
    }

    private static byte[] Peek(Stream file)
    {
        byte[] start = new byte[KindBytes];
        int count = file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        file.Position = 0;
        return start[..count];
    }

    private byte[] Take()
    {
        byte[] all = _buffer[_start.._end];
        _start = _end;
        return all;
    }

    // More bytes behind those there are; false at the end.
    private bool Fill()
    {
        if (_ended)
            return false;

        if (_start > 0 && _end == _buffer.Length)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _buffer.Length)
        {
            if (_buffer.Length == Array.MaxLength)
            {
                throw new UserException(
                    $"{_path}: has more than {Array.MaxLength:N0} bytes in one line or value; expected JSON Lines where there are more");
            }

            Array.Resize(ref _buffer, (int)Math.Min(2L * _buffer.Length, Array.MaxLength));
        }

        try
        {
            int read = _stream.Read(_buffer, _end, _buffer.Length - _end);
            _end += read;
            _ended = read == 0;
            return read > 0;
        }
        catch (Exception error) when (error is InvalidDataException or ZstdException or EndOfStreamException)
        {
            throw new UserException($"{_path}: is damaged: {error.Message.ReplaceLineEndings(" ").TrimEnd('.')}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(_path, error);
        }
    }
}
