using System.Collections;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Parquet;
using Parquet.Serialization;

namespace Forgetting.Data;

/// <summary>The rows of a Parquet file, nested columns among them, as JSON objects.</summary>
internal static class ParquetFile
{
    /// <summary>All rows in order, a row group at a time.</summary>
    /// <param name="stream">The file; can be read in any order.</param>
    /// <param name="path">Its name, for errors.</param>
    /// <exception cref="UserException">The file is damaged, or of a kind that the library does not read.</exception>
    public static IEnumerable<JsonView> Read(Stream stream, string path)
    {
        int groups = Guarded(path, async () =>
        {
            await using ParquetReader reader = await ParquetReader.CreateAsync(stream, leaveStreamOpen: true).ConfigureAwait(false);
            return reader.RowGroupCount;
        });
        long row = 0;
        for (int group = 0; group < groups; group++)
        {
            int number = group;
            stream.Position = 0;
            foreach (Dictionary<string, object> values in Guarded(
                path,
                async () => (await ParquetSerializer.DeserializeUntypedAsync(stream, rowGroupIndex: number).ConfigureAwait(false)).Data))
            {
                row++;
                yield return RecordFile.View(
                    path, string.Create(CultureInfo.InvariantCulture, $"{path}: row {row}"), writer => WriteMembers(writer, values));
            }
        }
    }

    private static T Guarded<T>(string path, Func<Task<T>> read)
    {
        try
        {
            return read().GetAwaiter().GetResult();
        }
        catch (Exception error) when (error is not (UserException or OutOfMemoryException))
        {
            throw new UserException($"{path}: cannot be read as Parquet: {error.Message.ReplaceLineEndings(" ").TrimEnd('.')}", error);
        }
    }

    private static void WriteMembers(Utf8JsonWriter writer, IEnumerable<KeyValuePair<string, object>> members)
    {
        foreach ((string name, object? value) in members)
        {
            writer.WritePropertyName(name);
            WriteValue(writer, value);
        }
    }

    private static void WriteValue(Utf8JsonWriter writer, object? value)
    {
        switch (value)
        {
            case null or float.NaN or double.NaN or double.PositiveInfinity or double.NegativeInfinity or float.PositiveInfinity
                or float.NegativeInfinity:
                writer.WriteNullValue();
                break;
            case string text:
                writer.WriteStringValue(text);
                break;
            case ReadOnlyMemory<char> text:
                writer.WriteStringValue(text.Span);
                break;
            case bool flag:
                writer.WriteBooleanValue(flag);
                break;
            case byte[] bytes:
                WriteBytes(writer, bytes);
                break;
            case ReadOnlyMemory<byte> bytes:
                WriteBytes(writer, bytes.ToArray());
                break;
            case IEnumerable<KeyValuePair<string, object>> members:
                writer.WriteStartObject();
                WriteMembers(writer, members);
                writer.WriteEndObject();
                break;
            case IDictionary map:
                writer.WriteStartObject();
                foreach (DictionaryEntry entry in map)
                {
                    writer.WritePropertyName(Convert.ToString(entry.Key, CultureInfo.InvariantCulture)!);
                    WriteValue(writer, entry.Value);
                }

                writer.WriteEndObject();
                break;
            case IEnumerable items:
                writer.WriteStartArray();
                foreach (object? item in items)
                {
                    WriteValue(writer, item);
                }

                writer.WriteEndArray();
                break;
            case sbyte or byte or short or ushort or int or uint or long or ulong or float or double or decimal:
                writer.WriteRawValue(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture));
                break;
            case DateTime time:
                writer.WriteStringValue(time);
                break;
            default:
                writer.WriteStringValue(Convert.ToString(value, CultureInfo.InvariantCulture));
                break;
        }
    }

    // Columns of bytes are mostly texts whose type was not declared.
    private static void WriteBytes(Utf8JsonWriter writer, byte[] bytes)
    {
        try
        {
            writer.WriteStringValue(new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes));
        }
        catch (DecoderFallbackException)
        {
            writer.WriteBase64StringValue(bytes);
        }
    }
}
