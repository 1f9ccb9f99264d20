using System.Collections;
using System.Runtime.InteropServices;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Data;

/// <summary>
/// Encoded examples in a file of their own, which goes when they do; in memory is of each its length. Every access reads one anew.
/// </summary>
internal sealed class ExampleFile : ILazyExamples, IDisposable
{
    // A record's place is that of the last one of which it is known, and the sizes since.
    private const int Stride = 64, Head = 9;

    private const byte Rejected = 1, Conversation = 2, Signed = 4, Weighted = 8;

    private readonly FileStream _stream;
    private readonly string _path;
    private readonly List<int> _lengths = []; // twice, and 1 where there are weights
    private readonly List<long> _places = [];
    private long _end;

    /// <summary>A new file.</summary>
    /// <param name="folder">Where; it exists.</param>
    /// <exception cref="UserException">It cannot be written there.</exception>
    public ExampleFile(string folder)
    {
        _path = Temporary.NameBeside(Path.Combine(folder, "examples"));
        try
        {
            FileOptions options = OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None;
            _stream = new FileStream(_path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, 1 << 20, options);

            // Without a name it is gone however the process ends.
            if (!OperatingSystem.IsWindows())
                File.Delete(_path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{folder}: cannot hold the encoded examples: {error.Message}", error);
        }
    }

    /// <inheritdoc/>
    public int Count => _lengths.Count;

    /// <inheritdoc/>
    public ExampleTraits Traits { get; private set; }

    /// <inheritdoc/>
    public EncodedExample this[int index]
    {
        get
        {
            long at = _places[index / Stride];
            for (int i = index - (index % Stride); i < index; i++)
            {
                at += Size(_lengths[i]);
            }

            byte[] record = new byte[Size(_lengths[index])];
            for (int read = 0; read < record.Length;)
            {
                int more = RandomAccess.Read(_stream.SafeFileHandle, record.AsSpan(read), at + read);
                read += more > 0 ? more : throw new UserException($"{_path}: ends before example {index}; it was cut by something else");
            }

            return Decode(record, LengthAt(index));
        }
    }

    /// <inheritdoc/>
    public int LengthAt(int index) => _lengths[index] / 2;

    /// <summary>Adds one; <see cref="Flush"/> before it is read.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Add(EncodedExample example)
    {
        if (_lengths.Count % Stride == 0)
            _places.Add(_end);

        int n = example.Length;
        _lengths.Add((2 * n) + (example.Weights is null ? 0 : 1));
        byte[] record = new byte[Size(_lengths[^1])];
        Span<byte> marks = record.AsSpan(Head + (4 * n), n);
        MemoryMarshal.Write(record, example.Index);
        MemoryMarshal.Write(record.AsSpan(4), example.Source ?? -1);
        record[8] = (byte)((example.Rejected ? Rejected : 0) | (example.Conversation ? Conversation : 0)
            | (example.Given is null ? 0 : Signed) | (example.Weights is null ? 0 : Weighted));
        MemoryMarshal.AsBytes(example.Ids.AsSpan()).CopyTo(record.AsSpan(Head));
        for (int t = 0; t < n; t++)
        {
            marks[t] = (byte)((example.Response[t] ? 1 : 0) | (((example.Given?[t] ?? 0) + 1) << 1));
        }

        MemoryMarshal.AsBytes(example.Weights.AsSpan()).CopyTo(record.AsSpan(Head + (5 * n)));
        Traits |= ExampleLists.TraitsOf(example);
        _end += record.Length;
        Write(() => _stream.Write(record));
    }

    /// <summary>Ends the writing.</summary>
    /// <exception cref="UserException">The disk is full.</exception>
    public void Flush() => Write(_stream.Flush);

    /// <inheritdoc/>
    public IEnumerator<EncodedExample> GetEnumerator() => Enumerable.Range(0, Count).Select(i => this[i]).GetEnumerator();

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static int Size(int length) => Head + (5 * (length / 2)) + ((length & 1) * 4 * (length / 2));

    private static EncodedExample Decode(byte[] record, int n)
    {
        Span<byte> marks = record.AsSpan(Head + (4 * n), n);
        int source = MemoryMarshal.Read<int>(record.AsSpan(4));
        var response = new bool[n];
        sbyte[]? given = (record[8] & Signed) != 0 ? new sbyte[n] : null;
        for (int t = 0; t < n; t++)
        {
            response[t] = (marks[t] & 1) != 0;
            if (given != null)
                given[t] = (sbyte)((marks[t] >> 1) - 1);
        }

        return new EncodedExample
        {
            Index = MemoryMarshal.Read<int>(record),
            Source = source < 0 ? null : source,
            Ids = MemoryMarshal.Cast<byte, int>(record.AsSpan(Head, 4 * n)).ToArray(),
            Response = response,
            Given = given,
            Weights = (record[8] & Weighted) != 0 ? MemoryMarshal.Cast<byte, float>(record.AsSpan(Head + (5 * n))).ToArray() : null,
            Rejected = (record[8] & Rejected) != 0,
            Conversation = (record[8] & Conversation) != 0,
        };
    }

    private void Write(Action write)
    {
        try
        {
            write();
        }
        catch (IOException error)
        {
            throw new UserException($"{Path.GetDirectoryName(_path)}: cannot hold the encoded examples: {error.Message}", error);
        }
    }
}
