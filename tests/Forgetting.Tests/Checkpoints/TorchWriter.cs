using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Forgetting.Tests.Checkpoints;

/// <summary>Writes files as <c>torch.save</c> does, opcode by opcode, without the code under test.</summary>
internal static class TorchWriter
{
    /// <summary>A file of tensors, one storage each.</summary>
    public static void Write(string path, IReadOnlyDictionary<string, Folders.Raw> tensors)
    {
        var pickle = new MemoryStream();
        Dictionary<string, byte[]> entries = [];
        Put(pickle, [0x80, 2, .. "ccollections\nOrderedDict\n)R("u8]);
        foreach ((string name, Folders.Raw tensor) in tensors)
        {
            string key = $"{entries.Count}", storage = tensor.Type switch { "F32" => "Float", "F16" => "Half", _ => "BFloat16" };
            PutText(pickle, name);
            Put(pickle, "ctorch._utils\n_rebuild_tensor_v2\n(("u8);
            PutText(pickle, "storage");
            Put(pickle, Encoding.UTF8.GetBytes($"ctorch\n{storage}Storage\n"));
            PutText(pickle, key);
            PutText(pickle, "cpu");
            PutNumber(pickle, tensor.Shape.Aggregate(1L, (product, size) => product * size));
            Put(pickle, "tQK\0("u8);
            foreach (long size in tensor.Shape)
            {
                PutNumber(pickle, size);
            }

            Put(pickle, "t("u8);
            for (int i = 0; i < tensor.Shape.Length; i++)
            {
                PutNumber(pickle, tensor.Shape.Skip(i + 1).Aggregate(1L, (product, size) => product * size));
            }

            Put(pickle, [(byte)'t', 0x89, .. "ccollections\nOrderedDict\n)RtR"u8]);
            entries.Add($"data/{key}", tensor.Data);
        }

        Put(pickle, "u."u8);
        entries.Add("data.pkl", pickle.ToArray());
        WriteArchive(path, entries);
    }

    /// <summary>An archive with entries of one folder, stored as they are or packed.</summary>
    public static void WriteArchive(string path, IReadOnlyDictionary<string, byte[]> entries, bool packed = false)
    {
        using FileStream stream = File.Create(path);
        using var archive = new ZipArchive(stream, ZipArchiveMode.Create);
        foreach ((string name, byte[] bytes) in entries)
        {
            CompressionLevel level = packed ? CompressionLevel.Optimal : CompressionLevel.NoCompression;
            using Stream entry = archive.CreateEntry($"archive/{name}", level).Open();
            entry.Write(bytes);
        }
    }

    private static void Put(MemoryStream pickle, ReadOnlySpan<byte> bytes) => pickle.Write(bytes);

    private static void PutText(MemoryStream pickle, string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        byte[] length = new byte[5];
        length[0] = (byte)'X';
        BinaryPrimitives.WriteInt32LittleEndian(length.AsSpan(1), utf8.Length);
        Put(pickle, [.. length, .. utf8]);
    }

    private static void PutNumber(MemoryStream pickle, long number)
    {
        byte[] bytes = new byte[5];
        bytes[0] = (byte)'J';
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(1), checked((int)number));
        Put(pickle, bytes);
    }
}
