using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forgetting.Core;

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
        try
        {
            return [.. Each<T>(path)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw InputFile.CannotRead(path, error);
        }
    }

    /// <summary>The records of a file one after the other, so that a large one need not be held.</summary>
    /// <exception cref="UserException">A line is not such a record; names file and line.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IEnumerable<T> Each<T>(string path)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path, Encoding.UTF8))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line))
                yield return Parse<T>(line, path, number);
        }
    }

    /// <summary>The object of a line.</summary>
    /// <param name="path">Of the file, for errors.</param>
    /// <param name="number">Of the line, from 1.</param>
    /// <exception cref="UserException">It is no such object.</exception>
    public static T Parse<T>(string line, string path, int number)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line, Options)
                ?? throw new UserException($"{path}: line {number}: found null, expected an object");
        }
        catch (JsonException error)
        {
            throw new UserException($"{path}: line {number}: {Reason(error)}", error);
        }
    }

    /// <summary>What the serializer says without the position, which it counts from 0 and within the text it was given.</summary>
    public static string Reason(JsonException error)
    {
        int position = error.Message.IndexOf(" Path:", StringComparison.Ordinal),
            line = error.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        int end = position > 0 ? position : line;
        return (end > 0 ? error.Message[..end] : error.Message).ReplaceLineEndings(" ").TrimEnd('.');
    }
}
