using System.Text;
using System.Text.Json;
using Forgetting.Core;

namespace Forgetting.IO;

/// <summary>Files that a user names: read whole, and refused in words where they are no file, packed, or of another kind.</summary>
internal static class InputFile
{
    // What the first bytes of a file say about it (the formats' own specifications).
    private static readonly (byte[] Start, string Kind)[] s_kinds =
    [
        ([0x1f, 0x8b], "gzip"),
        ([0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        ([0xfd, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0], "xz"),
        ("BZh"u8.ToArray(), "bzip2"),
        ("PK\u0003\u0004"u8.ToArray(), "zip"),
        ("PAR1"u8.ToArray(), "Parquet"),
        ("ARROW1"u8.ToArray(), "Arrow"),
        ("SQLite format 3"u8.ToArray(), "SQLite"),
        ([0x89, (byte)'H', (byte)'D', (byte)'F'], "HDF5"),
    ];

    /// <summary>The bytes of a file without a byte order mark, which is no part of a text but which editors write.</summary>
    /// <exception cref="UserException">The file is missing, a folder or unreadable.</exception>
    public static ReadOnlyMemory<byte> ReadBytes(string path)
    {
        try
        {
            byte[] bytes = File.ReadAllBytes(path);
            return bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw CannotRead(path, error);
        }
    }

    /// <summary>The bytes of a file that holds text.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">What kind of text, for the error.</param>
    /// <exception cref="UserException">See <see cref="ReadBytes"/>; or the file is packed or of a binary
    /// format, which is named.</exception>
    public static ReadOnlyMemory<byte> ReadTextBytes(string path, string expected)
    {
        ReadOnlyMemory<byte> bytes = ReadBytes(path);
        return KindOf(bytes.Span) is { } kind
            ? throw new UserException($"{path}: is a {kind} file, expected {expected}: unpack or convert it first")
            : bytes;
    }

    /// <summary>The packed or binary format that the first bytes of a file tell; null where they tell none.</summary>
    public static string? KindOf(ReadOnlySpan<byte> bytes)
    {
        foreach ((byte[] start, string kind) in s_kinds)
        {
            if (bytes.StartsWith(start))
                return kind;
        }

        return null;
    }

    /// <summary>A file of text, UTF-8.</summary>
    /// <inheritdoc cref="ReadTextBytes"/>
    public static string ReadText(string path, string expected) => Encoding.UTF8.GetString(ReadTextBytes(path, expected).Span);

    /// <summary>A file of plain text, UTF-8.</summary>
    /// <exception cref="UserException">See <see cref="ReadTextBytes"/>; or it is JSON, whose quotes and braces are no
    /// text to score or learn.</exception>
    public static string ReadPlainText(string path)
    {
        ReadOnlyMemory<byte> bytes = ReadTextBytes(path, "plain text");
        ReadOnlySpan<byte> text = bytes.Span.TrimStart(" \t\r\n"u8);
        int end = text.IndexOf((byte)'\n');
        if (text is [(byte)'{' or (byte)'[', ..] && (IsJson(end < 0 ? text : text[..end]) || IsJson(text)))
            throw new UserException($"{path}: is JSON, expected plain text: write what its fields say to a text file");

        return Encoding.UTF8.GetString(bytes.Span);
    }

    /// <summary>Why a file could not be read, in the words that all readers use.</summary>
    public static UserException CannotRead(string path, Exception error) =>
        Directory.Exists(path) ? new UserException($"{path}: is a folder, expected a file", error)
        : error is FileNotFoundException or DirectoryNotFoundException ? new UserException($"{path}: no such file", error)
        : new UserException($"{path}: cannot be read: {error.Message.ReplaceLineEndings(" ")}", error);

    private static bool IsJson(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text);
        try
        {
            return reader.Read() && reader.TrySkip() && !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
