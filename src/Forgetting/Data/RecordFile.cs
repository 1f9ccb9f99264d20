using System.Buffers;
using System.Text;
using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Data;

/// <summary>The records of a data file of any format, as JSON objects.</summary>
internal static class RecordFile
{
    private const string Expected = "JSON Lines, a JSON array, Parquet, CSV, TSV or text, packed by gzip or zstd or not";

    /// <summary>
    /// The records of a file in order, one at a time; their source is the file with line, item or row. JSON and Parquet are known by their
    /// first bytes, CSV, TSV and text by the name (<c>.csv</c>, <c>.tsv</c>, <c>.txt</c>, with <c>.gz</c> or <c>.zst</c> behind it or not);
    /// a text is one record with the field <c>text</c>.
    /// </summary>
    /// <exception cref="UserException">The file is missing, damaged or of another format, or a record is
    /// malformed; it is named.</exception>
    public static IEnumerable<JsonView> Read(string path)
    {
        using var input = new UnpackedFile(path, Expected);
        if (input.IsParquet)
        {
            foreach (JsonView view in ParquetFile.Read(input.Seekable(), path))
            {
                yield return view;
            }

            yield break;
        }

        byte? first = input.FirstByte();
        string format = Path.GetExtension(DataFolder.Unpacked(path)).ToLowerInvariant();
        IEnumerable<JsonView> records = format is ".csv" or ".tsv" ? Table(input, path, format == ".csv" ? ',' : '\t')
            : format == ".txt" && first is not ((byte)'{' or (byte)'[') ? Text(input, path)
            : first == (byte)'[' ? Items(input, path)
            : Lines(input, path);
        foreach (JsonView view in records)
        {
            yield return view;
        }
    }

    /// <summary>A JSON object as a view.</summary>
    /// <param name="source">What errors about its values begin with.</param>
    internal static JsonView View(string path, string source, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        return JsonView.Parse(buffer.WrittenMemory, path, firstLine: 1, source);
    }

    private static IEnumerable<JsonView> Lines(UnpackedFile input, string path)
    {
        for (long number = 1; input.Line() is { } line; number++)
        {
            if (line.AsSpan().IndexOfAnyExcept(" \t\r"u8) >= 0)
                yield return JsonView.Parse(line, path, number, $"{path}: line {number}");
        }
    }

    private static IEnumerable<JsonView> Items(UnpackedFile input, string path)
    {
        int item = 0;
        foreach (JsonView view in JsonView.Parse(input.Rest(), path, firstLine: 1).Items())
        {
            yield return view with { Source = $"{path}: item {++item}" };
        }
    }

    private static IEnumerable<JsonView> Table(UnpackedFile input, string path, char separator)
    {
        foreach ((int line, Dictionary<string, string> fields) in CsvFile.Read(Encoding.UTF8.GetString(input.Rest()), path, separator))
        {
            yield return View(path, $"{path}: line {line}", writer =>
            {
                foreach ((string name, string value) in fields)
                {
                    writer.WriteString(name, value);
                }
            });
        }
    }

    private static IEnumerable<JsonView> Text(UnpackedFile input, string path) =>
        [View(path, path, writer => writer.WriteString("text", Encoding.UTF8.GetString(input.Rest())))];
}
