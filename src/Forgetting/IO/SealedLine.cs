using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;

namespace Forgetting.IO;

/// <summary>
/// A record as a line of JSON with a checksum behind a tab (which JSON text never has): a line that a killed process left half written,
/// or in which a bit has changed since, is
/// told from one that is whole.
/// </summary>
internal static class SealedLine
{
    private const int Digits = 16;

    /// <summary>The line, with its line feed.</summary>
    public static byte[] Of<T>(T record)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(record, JsonLines.Options);
        return [.. json, (byte)'\t', .. Checksum(json), (byte)'\n'];
    }

    /// <summary>Reads a line without its line feed.</summary>
    /// <returns>False where it is not whole.</returns>
    public static bool TryRead<T>(ReadOnlySpan<byte> line, [MaybeNullWhen(false)] out T record)
    {
        record = default;
        int tab = line.LastIndexOf((byte)'\t');
        if (tab < 0 || !line[(tab + 1)..].SequenceEqual(Checksum(line[..tab])))
            return false;

        try
        {
            record = JsonSerializer.Deserialize<T>(line[..tab], JsonLines.Options);
            return record is not null;
        }
        catch (JsonException)
        {
            // Whole, but of another version.
            return false;
        }
    }

    private static byte[] Checksum(ReadOnlySpan<byte> json) =>
        System.Text.Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA256.HashData(json).AsSpan(0, Digits / 2)));
}
