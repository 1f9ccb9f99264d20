using System.Buffers.Binary;
using System.Text;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>Reads a GGUF file by the description of the format, without the code under test.</summary>
internal sealed class GgufReader
{
    private readonly byte[] _file;
    private int _at;

    public GgufReader(string path)
    {
        _file = File.ReadAllBytes(path);
        if (Encoding.ASCII.GetString(_file, 0, 4) != "GGUF")
            throw new InvalidDataException("magic");

        _at = 4;
        Version = (uint)Number(4);
        int tensors = (int)Number(8), values = (int)Number(8);
        for (int i = 0; i < values; i++)
        {
            string key = Text();
            Metadata.Add(key, Value((uint)Number(4)));
        }

        List<(string Name, long[] Sizes, uint Type, long Offset)> entries = [];
        for (int i = 0; i < tensors; i++)
        {
            string name = Text();
            long[] sizes = [.. Enumerable.Range(0, (int)Number(4)).Select(_ => (long)Number(8)).ToArray()];
            entries.Add((name, sizes, (uint)Number(4), (long)Number(8)));
        }

        // The data begins at the next multiple of the alignment, which is 32 where no key says otherwise.
        DataStart = (_at + 31) / 32 * 32;
        foreach ((string name, long[] sizes, uint type, long offset) in entries)
        {
            long count = sizes.Aggregate(1L, (product, size) => product * size);
            long bytes = type switch
            {
                0 => 4 * count,
                1 or 30 => 2 * count,
                8 => count / 32 * 34,
                _ => throw new InvalidDataException($"type {type}"),
            };
            Tensors.Add(name, new Tensor(sizes, type, offset, _file.AsMemory((int)(DataStart + offset), (int)bytes)));
        }
    }

    public uint Version { get; }

    public int DataStart { get; }

    public long Length => _file.Length;

    public Dictionary<string, object> Metadata { get; } = [];

    public Dictionary<string, Tensor> Tensors { get; } = [];

    private object Value(uint type) => type switch
    {
        4 => (uint)Number(4),
        5 => (int)(uint)Number(4),
        6 => BitConverter.UInt32BitsToSingle((uint)Number(4)),
        7 => Number(1) == 1,
        8 => Text(),
        9 => Array(),
        _ => throw new InvalidDataException($"value type {type}"),
    };

    private object[] Array()
    {
        uint type = (uint)Number(4);
        return [.. Enumerable.Range(0, (int)Number(8)).Select(_ => Value(type)).ToArray()];
    }

    private string Text()
    {
        int length = (int)Number(8);
        _at += length;
        return Encoding.UTF8.GetString(_file, _at - length, length);
    }

    private ulong Number(int bytes)
    {
        _at += bytes;
        return Enumerable.Range(1, bytes).Aggregate(0UL, (number, i) => (number << 8) | _file[_at - i]);
    }

    /// <summary>A tensor as it lies in the file.</summary>
    public sealed record Tensor(long[] Sizes, uint Type, long Offset, ReadOnlyMemory<byte> Data)
    {
        /// <summary>Its numbers, row after row.</summary>
        public float[] Values()
        {
            ReadOnlySpan<byte> data = Data.Span;
            var values = new float[Sizes.Aggregate(1L, (product, size) => product * size)];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = Type switch
                {
                    0 => BinaryPrimitives.ReadSingleLittleEndian(data[(4 * i)..]),
                    1 => (float)BinaryPrimitives.ReadHalfLittleEndian(data[(2 * i)..]),
                    30 => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(data[(2 * i)..]) << 16),
                    _ => (float)BinaryPrimitives.ReadHalfLittleEndian(data[(i / 32 * 34)..]) * (sbyte)data[(i / 32 * 34) + 2 + (i % 32)],
                };
            }

            return values;
        }
    }
}
