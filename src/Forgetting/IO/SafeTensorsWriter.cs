using System.Buffers.Binary;
using System.Text.Json;
using Forgetting.Tensors;

namespace Forgetting.IO;

/// <summary>Name, type and sizes of a tensor to be written.</summary>
internal sealed record TensorEntry(string Name, StoredType Type, IReadOnlyList<long> Dimensions)
{
    /// <summary>Size in bytes.</summary>
    public long Bytes => Dimensions.Aggregate((long)Type.Size(), (product, size) => checked(product * size));
}

/// <summary>
/// Writes the safetensors format as a stream: the header first, since it follows from names and sizes alone, then each tensor's data in
/// order and in as many pieces as the caller likes.
/// </summary>
internal sealed class SafeTensorsWriter
{
    private readonly Stream _stream;
    private long _left;

    /// <summary><c>__metadata__</c> of a file that a model's own does not give: what transformers asks for.</summary>
    public static IReadOnlyDictionary<string, string> StandardMetadata { get; } = new Dictionary<string, string> { ["format"] = "pt" };

    /// <summary>
    /// Writes the header. Larger element types go first, which keeps each tensor aligned to its elements;
    /// <see cref="Entries"/> tells the order.
    /// </summary>
    public SafeTensorsWriter(Stream stream, IEnumerable<TensorEntry> entries, IReadOnlyDictionary<string, string> metadata)
    {
        _stream = stream;
        Entries = [.. entries.OrderByDescending(e => e.Type.Size())];
        _left = Entries.Sum(e => e.Bytes);
        WriteHeader(metadata);
    }

    /// <summary>The tensors in the order in which their data must be written.</summary>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <summary>Appends data.</summary>
    public void Write(ReadOnlySpan<byte> data)
    {
        _left -= data.Length;
        _stream.Write(data);
    }

    /// <summary>Checks that all data was written.</summary>
    /// <exception cref="InvalidOperationException">More or less data than the header says.</exception>
    public void Complete()
    {
        if (_left != 0)
            throw new InvalidOperationException($"{_left} bytes of tensor data were not written");
    }

    private void WriteHeader(IReadOnlyDictionary<string, string> metadata)
    {
        using var header = new MemoryStream();
        using (var json = new Utf8JsonWriter(
            header, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            foreach ((string key, string value) in metadata)
            {
                json.WriteString(key, value);
            }

            json.WriteEndObject();
            long offset = 0;
            foreach (TensorEntry entry in Entries)
            {
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", entry.Type.ToString());
                WriteNumbers(json, "shape", entry.Dimensions);
                WriteNumbers(json, "data_offsets", [offset, offset + entry.Bytes]);
                json.WriteEndObject();
                offset += entry.Bytes;
            }

            json.WriteEndObject();
        }

        // Padded with spaces so that the data begins at a multiple of 8.
        while (header.Length % 8 != 0)
        {
            header.WriteByte((byte)' ');
        }

        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        _stream.Write(length);
        header.WriteTo(_stream);
    }

    private static void WriteNumbers(Utf8JsonWriter json, string key, IReadOnlyList<long> numbers)
    {
        json.WriteStartArray(key);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }
}
