using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Forgetting.Testing.Reference;

/// <summary>Reads an unsharded Float32 safetensors file without the library's reader, which is under test elsewhere.</summary>
internal static class ReferenceCheckpoint
{
    /// <summary>All tensors by name.</summary>
    public static Dictionary<string, double[]> Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int data = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using JsonDocument header = JsonDocument.Parse(file.AsMemory(8..data));
        Dictionary<string, double[]> tensors = [];
        foreach (JsonProperty entry in header.RootElement.EnumerateObject().Where(entry => entry.Name != "__metadata__"))
        {
            if (entry.Value.GetProperty("dtype").GetString() != "F32")
                throw new InvalidDataException($"{path}: {entry.Name} is not F32");

            int begin = entry.Value.GetProperty("data_offsets")[0].GetInt32();
            int end = entry.Value.GetProperty("data_offsets")[1].GetInt32();
            ReadOnlySpan<float> values = MemoryMarshal.Cast<byte, float>(file.AsSpan((data + begin)..(data + end)));
            tensors[entry.Name] = Array.ConvertAll(values.ToArray(), value => (double)value);
        }

        return tensors;
    }
}
