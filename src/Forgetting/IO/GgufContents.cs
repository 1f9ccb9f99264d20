using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// The front of a GGUF file (versions 2 and 3, little-endian): its metadata, and name, sizes, type and place of each tensor.
/// </summary>
internal sealed class GgufContents
{
    private const int DefaultAlignment = 32, MostSizes = 4;

    private readonly MappedFile _file;
    private readonly Dictionary<string, object> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);
    private MappedView _view;
    private long _at;

    private GgufContents(MappedFile file, MappedView view)
    {
        (_file, _view) = (file, view);
        if (file.Length < 24 || !IsGguf(file))
            throw Bad("is too short, expected a GGUF file");

        _at = 4;
        long version = Number(4);
        if (version is not (2 or 3))
            throw Bad($"is of version {version}, expected 2 or 3");

        long tensors = Number(8), values = Number(8);
        for (long i = 0; i < values; i++)
        {
            string key = Text();
            if (!_values.TryAdd(key, Value(Number(4))))
                throw Bad($"has {Wording.Quote(key)} twice");
        }

        List<(GgufEntry Entry, long Offset)> entries = [];
        for (long i = 0; i < tensors; i++)
        {
            entries.Add(Entry());
        }

        int alignment = IntOrNull("general.alignment") ?? DefaultAlignment;
        if (alignment < 1)
            throw Bad($"has general.alignment {alignment}, expected at least 1");

        long start = (_at + alignment - 1) / alignment * alignment;
        foreach ((GgufEntry entry, long offset) in entries)
        {
            if (offset < 0 || start > file.Length || offset > file.Length - start)
                throw Bad($"has tensor {Wording.Quote(entry.Name)} begin behind its end: truncated?");

            if (!Tensors.TryAdd(entry.Name, entry with { Offset = start + offset }))
                throw Bad($"has tensor {Wording.Quote(entry.Name)} twice");
        }
    }

    /// <summary>Path as given.</summary>
    public string Path => _file.Path;

    /// <summary>Tensors by name.</summary>
    public Dictionary<string, GgufEntry> Tensors { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether a file begins as GGUF files do.</summary>
    public static bool IsGguf(MappedFile file)
    {
        using MappedView view = file.Map(0, Math.Min(4, file.Length));
        return view.Bytes.SequenceEqual("GGUF"u8);
    }

    /// <summary>Reads the front of a file.</summary>
    /// <exception cref="UserException">Another version, or damaged.</exception>
    public static GgufContents Read(MappedFile file)
    {
        using MappedView view = file.Map(0, file.Length);
        return new GgufContents(file, view);
    }

    /// <summary>A text, or null where it is absent.</summary>
    public string? TextOrNull(string key) => Find(key) is not { } value ? null
        : value as string ?? throw Bad($"has {key} other than a text");

    /// <summary>A whole number, or null where it is absent.</summary>
    public int? IntOrNull(string key) => Find(key) is not { } value ? null
        : value is long and >= int.MinValue and <= int.MaxValue ? (int)(long)value : throw Bad($"has {key} other than a whole number");

    /// <summary>A whole number.</summary>
    public int Int(string key) => IntOrNull(key) ?? throw Bad($"has no {key}");

    /// <summary>A number, or null where it is absent: of one in binary32, the shortest decimal that it stands for.</summary>
    public double? NumberOrNull(string key) => Find(key) switch
    {
        null => null,
        double number => number,
        long number => number,
        _ => throw Bad($"has {key} other than a number"),
    };

    /// <summary>A truth value, or null where it is absent.</summary>
    public bool? FlagOrNull(string key) => Find(key) is not { } value ? null
        : value is bool flag ? flag : throw Bad($"has {key} other than true or false");

    /// <summary>A list of texts or numbers, the latter as <see cref="long"/> or <see cref="double"/>; empty where it is absent.</summary>
    public IReadOnlyList<T> List<T>(string key)
    {
        if (Find(key) is not { } found)
            return [];

        if (found is not GgufList list)
            throw Bad($"has {key} other than a list");

        using MappedView view = _file.Map(0, _file.Length);
        (_view, _at) = (view, list.Start);
        var values = new T[list.Count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Value(list.Type) is T value ? value : throw Bad($"has {key} of values of another kind");
        }

        return values;
    }

    /// <summary>Keys with a beginning that nobody has asked for.</summary>
    public IEnumerable<string> Unread(string start) =>
        _values.Keys.Where(key => key.StartsWith(start, StringComparison.Ordinal) && !_read.Contains(key));

    /// <summary>The shortest decimal that a binary32 number stands for: 0.1, not 0.10000000149.</summary>
    public static double Shortest(float number) =>
        double.Parse(number.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private object? Find(string key)
    {
        _read.Add(key);
        return _values.GetValueOrDefault(key);
    }

    private (GgufEntry Entry, long Offset) Entry()
    {
        string name = Text();
        long dimensions = Number(4);
        if (dimensions is < 1 or > MostSizes)
            throw Bad($"has tensor {Wording.Quote(name)} of {dimensions} dimensions, expected 1 to {MostSizes}");

        long[] sizes = new long[dimensions];
        long count = 1;
        for (int i = 0; i < sizes.Length; i++)
        {
            sizes[i] = Number(8);
            if (sizes[i] < 0 || (sizes[i] > 0 && count > (1L << 48) / sizes[i]))
                throw Bad($"has tensor {Wording.Quote(name)} of an impossible size");

            count *= sizes[i];
        }

        return (new GgufEntry(name, (uint)Number(4), sizes, 0), Number(8));
    }

    // Lists may be long, and are read where somebody asks for them.
    private object Value(long type)
    {
        switch (type)
        {
            case 0: return Number(1);
            case 1: return (long)(sbyte)Number(1);
            case 2: return Number(2);
            case 3: return (long)(short)Number(2);
            case 4: return Number(4);
            case 5: return (long)(int)Number(4);
            case 6:
                return Shortest(BitConverter.UInt32BitsToSingle((uint)Number(4)));
            case 7: return Number(1) != 0;
            case 8: return Text();
            case 9: return PassOver();
            case 10 or 11: return Number(8);
            case 12: return BitConverter.Int64BitsToDouble(Number(8));
            default: throw Bad($"has a value of type {type}, expected 0 to 12");
        }
    }

    private GgufList PassOver()
    {
        long type = Number(4), count = Number(8), start = _at;
        int size = type switch { 0 or 1 or 7 => 1, 2 or 3 => 2, 4 or 5 or 6 => 4, 10 or 11 or 12 => 8, _ => 0 };
        if (type is not (<= 8 or (>= 10 and <= 12)))
            throw Bad($"has a list of type {type}, expected one of numbers or texts");

        if (count < 0 || count > _view.Length)
            throw Bad("has a list that reaches behind its end: truncated?");

        for (long i = 0; type == 8 && i < count; i++)
        {
            Skip(Number(8));
        }

        Skip(count * size);
        return new GgufList(type, count, start);
    }

    private string Text()
    {
        long length = Number(8);
        long start = _at;
        Skip(length);
        return Encoding.UTF8.GetString(_view.Span(start, checked((int)length)));
    }

    private long Number(int bytes)
    {
        long start = _at;
        Skip(bytes);
        Span<byte> number = stackalloc byte[8];
        number.Clear();
        _view.Span(start, bytes).CopyTo(number);
        return BinaryPrimitives.ReadInt64LittleEndian(number);
    }

    private void Skip(long bytes)
    {
        if (bytes < 0 || bytes > Math.Min(_view.Length - _at, int.MaxValue))
            throw Bad($"is cut off at byte {_at}");

        _at += bytes;
    }

    private UserException Bad(string what) => new($"{_file.Path}: {what}");
}

/// <summary>Where a list of the metadata lies.</summary>
/// <param name="Type">Number of its values' type.</param>
/// <param name="Count">How many.</param>
/// <param name="Start">Position of the first in the file.</param>
internal sealed record GgufList(long Type, long Count, long Start);

/// <summary>What the front of a GGUF file says of a tensor.</summary>
/// <param name="Name">Name.</param>
/// <param name="Type">Number of its element type.</param>
/// <param name="Sizes">Sizes, the innermost first.</param>
/// <param name="Offset">Position of its first byte in the file.</param>
internal sealed record GgufEntry(string Name, uint Type, IReadOnlyList<long> Sizes, long Offset);
