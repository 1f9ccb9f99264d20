using System.Text.Json;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>Ids that other implementations published, and the two spellings of one real vocabulary against each other.</summary>
public class PublishedVectorTests
{
    [SharedDataFact]
    public void Gpt2_vocabulary_and_merges_give_the_47_published_vectors()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("tokenizers", "gpt2"));
        string[] texts = File.ReadAllText(SharedData.Path("tokenizers", "gpt2", "vectors.inp")).Split("\n__ggml_vocab_test__\n");
        string[] lines = File.ReadAllText(SharedData.Path("tokenizers", "gpt2", "vectors.out")).Split('\n');
        Assert.Equal((47, 47), (texts.Length, lines.Length));
        for (int i = 0; i < 47; i++)
        {
            int[] expected = [.. lines[i].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
            Assert.Equal(expected, tokenizer.Encode(texts[i]));
            Assert.Equal(texts[i], tokenizer.Decode(expected));
        }
    }

    [SharedDataFact]
    public void Tiny_llama3_style_gives_its_vector()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("tokenizers", "tiny-llama3-style"));
        using JsonDocument document =
            JsonDocument.Parse(File.ReadAllText(SharedData.Path("tokenizers", "tiny-llama3-style", "vectors.json")));
        JsonElement vector = document.RootElement.GetProperty("vectors")[0];
        string text = vector.GetProperty("text").GetString()!;
        int[] ids = [.. vector.GetProperty("ids").EnumerateArray().Select(e => e.GetInt32())];
        Assert.Equal(ids, tokenizer.Encode(text));
        Assert.Equal(text, tokenizer.Decode(ids));
    }

    [SharedDataFact]
    public void Stories_json_and_llama2c_vocabularies_agree()
    {
        Tokenizer json = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        Tokenizer binary = Tokenizer.Load(SharedData.Path("stories260K", "stories260K.bin"));
        Assert.Equal((1, 2, 512), (json.BosId, json.EosIds[0], json.VocabularySize));
        Assert.Equal((1, 2, 512), (binary.BosId, binary.EosIds[0], binary.VocabularySize));

        string story = "Once upon a time, there was a little girl named Lily.\n  She said: \"Ünïcode 😀!\" 123\r\n\t";
        string shakespeare = File.ReadAllText(SharedData.Path("tinyshakespeare", "input.txt"));
        foreach (string text in (string[])[story, "", " ", "a", "  two  spaces ", shakespeare])
        {
            int[] ids = json.Encode(text);
            Assert.Equal(1, ids[0]);
            Assert.Equal(ids, binary.Encode(text));
            Assert.Equal(text, json.Decode(ids));
            Assert.Equal(text, binary.Decode(ids));
        }
    }

    [SharedDataFact]
    public void Golden_greedy_ids_decode_to_the_golden_text_and_back()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("stories260K", "hf"));
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(SharedData.Path("stories260K", "golden_greedy.json")));
        int[] ids = [.. document.RootElement.GetProperty("ids").EnumerateArray().Select(e => e.GetInt32())];
        string text = document.RootElement.GetProperty("text").GetString()!;
        Assert.Equal(text, tokenizer.Decode(ids));
        Assert.Equal(ids, tokenizer.Encode(text, bos: false));
    }
}
