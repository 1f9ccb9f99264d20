using System.Buffers.Binary;
using System.Text;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>
/// Where the entries of a zip archive lie that are stored as they are, so that they can be mapped: by its central directory (PKWARE
/// APPNOTE 6.3, sections 4.3.7 to 4.3.16, zip64 too).
/// </summary>
internal static class ZipEntries
{
    private const uint LocalHeader = 0x04034b50, DirectoryHeader = 0x02014b50, DirectoryEnd = 0x06054b50, Directory64End = 0x06064b50,
        Locator64 = 0x07064b50;

    private const int LocalBytes = 30, DirectoryBytes = 46, EndBytes = 22, Locator64Bytes = 20, End64Bytes = 56, LongestComment = 0xffff;
    private const long LongestDirectory = 16_000_000;

    /// <summary>The entries by name.</summary>
    /// <exception cref="UserException">It is no zip archive, damaged, or an entry is packed or encrypted.</exception>
    public static Dictionary<string, (long Offset, long Bytes)> Read(MappedFile file)
    {
        (long start, long bytes) = FindDirectory(file);
        if (start < 0 || bytes < 0 || bytes > LongestDirectory || start > file.Length - bytes)
            throw Damaged(file, "its directory lies outside of it");

        using MappedView view = file.Map(start, bytes);
        ReadOnlySpan<byte> directory = view.Bytes;
        Dictionary<string, (long, long)> entries = new(StringComparer.Ordinal);
        while (directory.Length > 0)
        {
            if (directory.Length < DirectoryBytes || Number32(directory) != DirectoryHeader)
                throw Damaged(file, "its directory is malformed");

            int nameBytes = Number16(directory[28..]), extraBytes = Number16(directory[30..]), commentBytes = Number16(directory[32..]);
            int length = DirectoryBytes + nameBytes + extraBytes + commentBytes;
            if (directory.Length < length)
                throw Damaged(file, "its directory is cut off");

            string name = Encoding.UTF8.GetString(directory.Slice(DirectoryBytes, nameBytes));
            (long packed, long size, long offset) = Sizes(file, directory[..(length - commentBytes)], nameBytes);
            if (Number16(directory[10..]) != 0 || packed != size || (Number16(directory[8..]) & 1) != 0)
                throw new UserException($"{file.Path}: {Wording.Quote(name)} is packed or encrypted, expected it stored as it is");

            if (!entries.TryAdd(name, (DataOf(file, name, offset, size), size)))
                throw Damaged(file, $"{Wording.Quote(name)} is there twice");

            directory = directory[length..];
        }

        return entries;
    }

    // The end record is the last one, but for a comment.
    private static (long Start, long Bytes) FindDirectory(MappedFile file)
    {
        long tailStart = Math.Max(0, file.Length - EndBytes - LongestComment);
        using MappedView view = file.Map(tailStart, file.Length - tailStart);
        ReadOnlySpan<byte> tail = view.Bytes;
        for (int at = tail.Length - EndBytes; at >= 0; at--)
        {
            if (Number32(tail[at..]) != DirectoryEnd || at + EndBytes + Number16(tail[(at + 20)..]) != tail.Length)
                continue;

            if (at >= Locator64Bytes && Number32(tail[(at - Locator64Bytes)..]) == Locator64)
                return FindDirectory64(file, Number64(tail[(at - Locator64Bytes + 8)..]));

            return (Number32(tail[(at + 16)..]), Number32(tail[(at + 12)..]));
        }

        throw Damaged(file, "it has no directory: truncated?");
    }

    private static (long Start, long Bytes) FindDirectory64(MappedFile file, long offset)
    {
        if (offset < 0 || offset > file.Length - End64Bytes)
            throw Damaged(file, "its directory lies outside of it");

        using MappedView view = file.Map(offset, End64Bytes);
        ReadOnlySpan<byte> end = view.Bytes;
        return Number32(end) == Directory64End
            ? (Number64(end[48..]), Number64(end[40..]))
            : throw Damaged(file, "its directory is malformed");
    }

    // What does not fit into 32 bits lies in the extra field, in this order.
    private static (long Packed, long Size, long Offset) Sizes(MappedFile file, ReadOnlySpan<byte> entry, int nameBytes)
    {
        long packed = Number32(entry[20..]), size = Number32(entry[24..]), offset = Number32(entry[42..]);
        ReadOnlySpan<byte> extra = entry[(DirectoryBytes + nameBytes)..];
        while (extra.Length >= 4)
        {
            int id = Number16(extra), length = Number16(extra[2..]);
            if (extra.Length < 4 + length)
                break;

            ReadOnlySpan<byte> field = extra.Slice(4, length);
            if (id == 1)
            {
                Take(ref size, ref field);
                Take(ref packed, ref field);
                Take(ref offset, ref field);
            }

            extra = extra[(4 + length)..];
        }

        return (packed, size, offset);

        void Take(ref long value, ref ReadOnlySpan<byte> field)
        {
            if (value != uint.MaxValue)
                return;

            if (field.Length < 8)
                throw Damaged(file, "a size is cut off");

            value = Number64(field);
            field = field[8..];
        }
    }

    // The local header has a name and an extra field of its own length.
    private static long DataOf(MappedFile file, string name, long offset, long size)
    {
        if (offset >= 0 && offset <= file.Length - LocalBytes)
        {
            using MappedView view = file.Map(offset, LocalBytes);
            ReadOnlySpan<byte> header = view.Bytes;
            long data = offset + LocalBytes + Number16(header[26..]) + Number16(header[28..]);
            if (Number32(header) == LocalHeader && size >= 0 && data <= file.Length - size)
                return data;
        }

        throw Damaged(file, $"{Wording.Quote(name)} does not lie where its directory says");
    }

    private static int Number16(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16LittleEndian(bytes);

    private static uint Number32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    private static long Number64(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadInt64LittleEndian(bytes);

    private static UserException Damaged(MappedFile file, string what) => new($"{file.Path}: is a damaged zip archive: {what}");
}
