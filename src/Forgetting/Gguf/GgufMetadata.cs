using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace Forgetting.Gguf;

/// <summary>The keys and values at the front of a GGUF file, in the order in which they are added.</summary>
internal sealed class GgufMetadata
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    // Numbers of the value types in the format.
    private enum ValueType : uint
    {
        UInt32 = 4,
        Int32 = 5,
        Float32 = 6,
        Bool = 7,
        String = 8,
        Array = 9,
    }

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>Adds a text.</summary>
    public void Add(string key, string value)
    {
        Begin(key, ValueType.String);
        Write(value);
    }

    /// <summary>Adds a whole number.</summary>
    public void Add(string key, uint value)
    {
        Begin(key, ValueType.UInt32);
        Write(value);
    }

    /// <summary>Adds a size or an id.</summary>
    public void Add(string key, int value) => Add(key, checked((uint)value));

    /// <summary>Adds a number.</summary>
    public void Add(string key, float value)
    {
        Begin(key, ValueType.Float32);
        Write(BitConverter.SingleToUInt32Bits(value));
    }

    /// <summary>Adds a truth value.</summary>
    public void Add(string key, bool value)
    {
        Begin(key, ValueType.Bool);
        _bytes.Write([value ? (byte)1 : (byte)0]);
    }

    /// <summary>Adds texts.</summary>
    public void Add(string key, IReadOnlyCollection<string> values)
    {
        BeginArray(key, ValueType.String, values.Count);
        foreach (string value in values)
        {
            Write(value);
        }
    }

    /// <summary>Adds whole numbers.</summary>
    public void Add(string key, ReadOnlySpan<int> values)
    {
        BeginArray(key, ValueType.Int32, values.Length);
        _bytes.Write(MemoryMarshal.AsBytes(values));
    }

    /// <summary>Adds numbers.</summary>
    public void Add(string key, ReadOnlySpan<float> values)
    {
        BeginArray(key, ValueType.Float32, values.Length);
        _bytes.Write(MemoryMarshal.AsBytes(values));
    }

    /// <summary>Writes them all.</summary>
    public void WriteTo(Stream stream) => stream.Write(_bytes.WrittenSpan);

    private void Begin(string key, ValueType type)
    {
        Count++;
        Write(key);
        Write((uint)type);
    }

    private void BeginArray(string key, ValueType type, int count)
    {
        Begin(key, ValueType.Array);
        Write((uint)type);
        Write((ulong)count);
    }

    private void Write(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Write((ulong)utf8.Length);
        _bytes.Write(utf8);
    }

    private void Write(uint number)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
        _bytes.Write(bytes);
    }

    private void Write(ulong number)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, number);
        _bytes.Write(bytes);
    }
}
