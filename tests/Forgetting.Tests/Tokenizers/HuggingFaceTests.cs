using System.Text.Json.Nodes;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>
/// Real tokenizers against Hugging Face's own library; those that are made for a test are in <see cref="PublishedShapesTests"/>.
/// </summary>
public class HuggingFaceTests
{
    [HuggingFaceTheory]
    [InlineData("stories260K", "hf")]
    [InlineData("tokenizers", "tiny-llama3-style")]
    public void A_real_file_gives_the_library_s_ids_and_texts(string folder, string name)
    {
        string path = SharedData.Path(folder, name);
        HuggingFaceTokenizer.AssertSame(Path.Combine(path, "tokenizer.json"), Tokenizer.Load(path), [.. HardTexts.All(), Shakespeare()]);
    }

    [HuggingFaceTheory]
    [InlineData("gpt2")]
    public void A_vocabulary_and_merges_give_the_ids_of_the_same_as_json(string name)
    {
        string path = SharedData.Path("tokenizers", name);
        JsonObject vocabulary = JsonNode.Parse(File.ReadAllText(Path.Combine(path, "vocab.json")))!.AsObject();
        JsonObject root = new()
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(),
            ["pre_tokenizer"] = JsonNode.Parse("""{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}"""),
            ["decoder"] = JsonNode.Parse("""{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}"""),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray(
                    [.. File.ReadLines(Path.Combine(path, "merges.txt")).Skip(1).Where(l => l.Length > 0).Select(
                        l => JsonValue.Create(l))]),
            },
        };
        using TemporaryFolder folder = new();
        HuggingFaceTokenizer.AssertSame(
            folder.Write("tokenizer.json", root.ToJsonString()), Tokenizer.Load(path),
            [.. HardTexts.All().Where(text => !text.Contains("<|endoftext|>", StringComparison.Ordinal)), Shakespeare()]);
    }

    private static string Shakespeare() => File.ReadAllText(SharedData.Path("tinyshakespeare", "input.txt"))[..100_000];
}
