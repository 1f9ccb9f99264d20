using System.Text;
using Forgetting.Core;
using Forgetting.Gguf;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>
/// Writes the GGUF format, version 3: magic, version, counts of tensors and of metadata; the metadata; name, sizes, type and place of each
/// tensor; then the data, each tensor at a multiple of 32 bytes. All but the data follows from names and sizes, so tensors are converted
/// one piece at a time as they are written.
/// </summary>
internal static class GgufFile
{
    private const int Alignment = 32;
    private const uint Version = 3;

    /// <summary>Writes a file.</summary>
    /// <exception cref="UserException">A number is not finite or too large for its type.</exception>
    public static void Write(Stream stream, GgufMetadata metadata, IReadOnlyList<GgufTensor> tensors)
    {
        using var header = new MemoryStream();
        using (var writer = new BinaryWriter(header, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write("GGUF"u8);
            writer.Write(Version);
            writer.Write((ulong)tensors.Count);
            writer.Write((ulong)metadata.Count);
            writer.Flush();
            metadata.WriteTo(header);
            long offset = 0;
            foreach (GgufTensor tensor in tensors)
            {
                byte[] name = Encoding.UTF8.GetBytes(tensor.Name);
                writer.Write((ulong)name.Length);
                writer.Write(name);
                writer.Write((uint)tensor.Dimensions.Count);
                foreach (long size in tensor.Dimensions)
                {
                    writer.Write((ulong)size);
                }

                writer.Write((uint)tensor.Type);
                writer.Write((ulong)offset);
                offset += Padded(tensor.Bytes);
            }
        }

        header.WriteTo(stream);
        Pad(stream, header.Length);
        foreach (GgufTensor tensor in tensors)
        {
            tensor.Write(stream);
            Pad(stream, tensor.Bytes);
        }
    }

    private static long Padded(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private static void Pad(Stream stream, long bytes) => stream.Write(stackalloc byte[(int)(Padded(bytes) - bytes)]);
}
