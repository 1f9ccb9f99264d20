using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Forgetting.IO;

/// <summary>Records as lines of JSON with snake_case names.</summary>
internal static class JsonLines
{
    /// <summary>How the records are written: one line each, text as it is.</summary>
    public static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    /// <summary>A record as a line, with its line feed.</summary>
    public static byte[] Line<T>(T record) => [.. JsonSerializer.SerializeToUtf8Bytes(record, Options), (byte)'\n'];

    /// <summary>Writes a file of records, whole or not at all.</summary>
    /// <exception cref="UserException">Not writable or disk full.</exception>
    public static void Write<T>(string path, IEnumerable<T> records) => AtomicFile.Write(path, stream =>
    {
        // Not disposed: that would close the stream under it.
        var buffered = new BufferedStream(stream, 1 << 20);
        foreach (T record in records)
        {
            buffered.Write(Line(record));
        }

        buffered.Flush();
    });

    /// <summary>All records of a file; blank lines are passed over.</summary>
    /// <exception cref="UserException">The file cannot be read, or a line is not such a record; names file and line.</exception>
    public static IReadOnlyList<T> Read<T>(string path)
    {
        var records = new List<T>();
        try
        {
            int number = 0;
            foreach (string line in File.ReadLines(path, Encoding.UTF8))
            {
                number++;
                if (!string.IsNullOrWhiteSpace(line))
                    records.Add(Parse<T>(line, path, number));
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: cannot be read: {error.Message.ReplaceLineEndings(" ")}", error);
        }

        return records;
    }

    private static T Parse<T>(string line, string path, int number)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line, Options) ?? throw new UserException($"{path}: line {number}: found null, expected an object");
        }
        catch (JsonException error)
        {
            // The serializer counts lines within the one line it was given, which says nothing.
            int position = error.Message.IndexOf(" Path:", StringComparison.Ordinal);
            string reason = (position > 0 ? error.Message[..position] : error.Message).ReplaceLineEndings(" ");
            throw new UserException($"{path}: line {number}: {reason}", error);
        }
    }
}
