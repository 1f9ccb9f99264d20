using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Testing;
using Forgetting.Tests.Cli;
using Forgetting.Text;
using Forgetting.Training;
using Parquet.Serialization;
using Xunit;
using ZstdSharp;

namespace Forgetting.Tests.Data;

/// <summary>The same records in every format are the same examples.</summary>
[Collection(CommandCollection.Name)]
public sealed class FormatTests : IDisposable
{
    private const string Lines = "{\"prompt\":\"é, \\\"a\\\"\",\"completion\":\"b\\nc\"}\n{\"prompt\":\"d\",\"completion\":\"e\"}\n";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("d.jsonl")]
    [InlineData("d.json")]
    [InlineData("d.csv")]
    [InlineData("d.tsv")]
    [InlineData("d.parquet")]
    public void A_file_is_read_in_every_format_packed_or_not(string name)
    {
        byte[] content = name switch
        {
            "d.json" => Encoding.UTF8.GetBytes($"[{Lines.Trim().Replace('\n', ',')}]"),
            "d.csv" => "prompt,completion\r\n\"é, \"\"a\"\"\",\"b\nc\"\r\nd,e\r\n"u8.ToArray(),
            "d.tsv" => "prompt\tcompletion\n\"é, \"\"a\"\"\"\t\"b\nc\"\nd\te"u8.ToArray(),
            "d.parquet" => Parquet(new Pair { Prompt = "é, \"a\"", Completion = "b\nc" }, new Pair { Prompt = "d", Completion = "e" }),
            _ => Encoding.UTF8.GetBytes("\uFEFF" + Lines),
        };
        Check(name, content);

        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
        {
            gzip.Write(content);
        }

        Check(name + ".gz", packed.ToArray());
        Check(name + ".zst", new Compressor().Wrap(content).ToArray());

        void Check(string packedName, byte[] bytes)
        {
            string path = _folder[packedName];
            File.WriteAllBytes(path, bytes);
            IReadOnlyList<DataExample> examples = DataSet.Read(path);
            Assert.Equal([("é, \"a\"", "b\nc"), ("d", "e")], examples.Select(e => (e.Prompt, e.Completion)));
            string place = name switch { "d.json" => "item 2", "d.csv" or "d.tsv" => "line 4", "d.parquet" => "row 2", _ => "line 2" };
            Assert.Equal($"{path}: {place}", examples[1].Place);
        }
    }

    [Fact]
    public void Parquet_has_nested_messages_and_values_of_every_kind()
    {
        string path = _folder["d.parquet"];
        File.WriteAllBytes(path, Parquet(
            new Chat
            {
                Messages = [new() { Role = "user", Content = "u" }, new() { Role = "assistant", Content = "a" }],
                Id = 3,
                Score = 0.5,
                Tags = ["x", "y"],
                When = new DateTime(2025, 3, 9, 0, 0, 0, DateTimeKind.Utc),
            },
            new Chat { Messages = [new() { Role = "user", Content = "v" }, new() { Role = "assistant", Content = "b" }] }));
        IReadOnlyList<DataExample> examples = DataSet.Read(path);
        Assert.Equal([new ChatMessage("user", "u"), new ChatMessage("assistant", "a")], examples[0].Messages!);
        Assert.Equal([new ChatMessage("user", "v"), new ChatMessage("assistant", "b")], examples[1].Messages!);
        JsonElement record = DataSet.Records(path).First().Element;
        Assert.Equal("3 0.5 [\"x\",\"y\"]", string.Join(
            ' ', record.GetProperty("id").GetRawText(), record.GetProperty("score").GetRawText(), record.GetProperty("tags").GetRawText()));
        Assert.Equal(new DateTime(2025, 3, 9), record.GetProperty("when").GetDateTime());
    }

    [Fact]
    public void A_folder_is_its_files_in_order_those_of_the_training_split_alone()
    {
        string Write(string name, string prompt) => _folder.Write(name, $$"""{"prompt":"{{prompt}}","completion":"c"}""");
        Directory.CreateDirectory(_folder["set", "data"]);
        Directory.CreateDirectory(_folder["set", ".cache"]);
        Write("set/data/train-00001-of-00002.jsonl", "b");
        Write("set/data/train-00000-of-00002.json", "a");
        Write("set/data/test-00000-of-00001.jsonl", "t");
        Write("set/.cache/train.jsonl", "hidden");
        _folder.Write("set/README.md", "# A set");
        _folder.Write("set/data/dataset_info.json", "{}");
        Assert.Equal(["a", "b"], DataSet.Read(_folder["set"]).Select(e => e.Prompt));
        Assert.Equal([0, 1], DataSet.Read(_folder["set"]).Select(e => e.Index));
        Assert.Equal(1, DataFolder.LeftOut(_folder["set"]));

        // Every file of it is part of what a run came from.
        var options = new TrainingOptions { Data = new() { Path = _folder["set"] }, Out = _folder["out"] };
        RunInput[] inputs = [.. Provenance.From(options).Inputs.Where(i => i.Setting == "data")];
        Assert.Equal(["data/train-00000-of-00002.json", "data/train-00001-of-00002.jsonl"], inputs.Select(i => i.File));
        Write("set/data/train-00001-of-00002.jsonl", "changed");
        Assert.NotEqual(inputs[1].Sha256, Provenance.From(options).Inputs.Last(i => i.Setting == "data").Sha256);
    }

    [Fact]
    public void A_text_file_is_one_text()
    {
        DataExample example = Assert.Single(DataSet.Read(_folder.Write("a.txt", "Once upon\na time")));
        Assert.Equal((DataShape.Text, "Once upon\na time"), (example.Shape, example.Completion));
        Assert.Equal("p", Assert.Single(DataSet.Read(_folder.Write("b.txt", """{"prompt":"p","completion":"c"}"""))).Prompt);
    }

    [Theory]
    [InlineData("d.csv", "prompt,completion\na\n", "line 2: 1 fields, expected the header's 2")]
    [InlineData("d.csv", "prompt,prompt\na,b\n", "line 1: there are 2 columns named \"prompt\", expected one")]
    [InlineData(
        "d.tsv", "prompt\tcompletion\n\"a\"b\tc\n", "line 2: found 'b' behind a closing quote, expected a tab or the end of the line")]
    [InlineData("d.csv", "", "empty; expected a line of column names")]
    public void Bad_tables_are_named(string name, string content, string expected)
    {
        string path = _folder.Write(name, content);
        Assert.Equal($"{path}: {expected}", Assert.Throws<UserException>(() => DataSet.Read(path)).Message);
    }

    [Fact]
    public void A_packed_file_that_was_cut_off_is_damaged()
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.NoCompression))
        {
            gzip.Write(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(Lines, 2000))));
        }

        byte[] zstd = new Compressor().Wrap(Encoding.UTF8.GetBytes(
            string.Concat(Enumerable.Range(0, 2000).Select(i => $"{{\"prompt\":\"{i * 7919}\",\"completion\":\"c\"}}\n")))).ToArray();
        File.WriteAllBytes(_folder["d.jsonl.gz"], packed.ToArray()[..50000]);
        File.WriteAllBytes(_folder["d.jsonl.zst"], zstd[..(zstd.Length / 2)]);
        Assert.All(new[] { "d.jsonl.gz", "d.jsonl.zst" }, name =>
            Assert.StartsWith(
                $"{_folder[name]}: ", Assert.Throws<UserException>(() => DataSet.Read(_folder[name])).Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Lines_longer_than_the_buffer_are_whole()
    {
        string text = new('x', 200_000);
        string path = _folder.Write(
            "d.jsonl", string.Concat(Enumerable.Range(0, 3).Select(i => $"{{\"prompt\":\"{i}{text}\",\"completion\":\"c\"}}\n\n")));
        Assert.Equal([$"0{text}", $"1{text}", $"2{text}"], DataSet.Read(path).Select(e => e.Prompt));
    }

    [SharedDataFact]
    public void Commands_read_a_folder_of_packed_files()
    {
        Directory.CreateDirectory(_folder["set"]);
        File.WriteAllBytes(_folder["set", "a.jsonl.zst"], new Compressor().Wrap(Encoding.UTF8.GetBytes(Lines)).ToArray());
        _folder.Write("set/b.csv", "prompt,completion\nx,y\n");
        CommandResult result = CommandResult.Of(
            "loss", "--model", SharedData.Path("stories260K", "hf"), "--data", _folder["set"], "--out", _folder["o.jsonl"]);
        Assert.Equal((0, 3), (result.ExitCode, File.ReadLines(_folder["o.jsonl"]).Count()));
    }

    private static byte[] Parquet<T>(params T[] rows)
    {
        using var stream = new MemoryStream();
        ParquetSerializer.SerializeAsync(rows, stream).GetAwaiter().GetResult();
        return stream.ToArray();
    }

    private sealed class Pair
    {
        [JsonPropertyName("prompt")]
        public string? Prompt { get; set; }

        [JsonPropertyName("completion")]
        public string? Completion { get; set; }
    }

    private sealed class Turn
    {
        [JsonPropertyName("role")]
        public string? Role { get; set; }

        [JsonPropertyName("content")]
        public string? Content { get; set; }
    }

    private sealed class Chat
    {
        [JsonPropertyName("messages")]
        public List<Turn>? Messages { get; set; }

        [JsonPropertyName("id")]
        public int? Id { get; set; }

        [JsonPropertyName("score")]
        public double? Score { get; set; }

        [JsonPropertyName("tags")]
        public List<string>? Tags { get; set; }

        [JsonPropertyName("when")]
        public DateTime? When { get; set; }
    }
}
