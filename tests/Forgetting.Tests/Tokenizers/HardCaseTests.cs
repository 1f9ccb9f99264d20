using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Tokenizers;

/// <summary>Generated texts of the kinds that tokenizers get wrong, against <see cref="SlowEncoder"/>, and back.</summary>
public class HardCaseTests
{
    [SharedDataFact]
    public void Gpt2_split_agrees_with_the_slow_encoder() =>
        Compare(Tokenizer.Load(SharedData.Path("tokenizers", "gpt2")), Gpt2Slow(), (slow, text) => slow.ByteLevel(text, SlowEncoder.Gpt2));

    [SharedDataFact]
    public void Llama3_split_agrees_with_the_slow_encoder() =>
        Compare(
            Tokenizer.Load(SharedData.Path("tokenizers", "tiny-llama3-style")),
            JsonSlow("tokenizers", "tiny-llama3-style"),
            (slow, text) => slow.ByteLevel(text, SlowEncoder.Llama3, wholeFirst: true));

    [SharedDataFact]
    public void Qwen2_split_agrees_with_the_slow_encoder_on_composed_text()
    {
        using TemporaryFolder folder = new();
        folder.Write("tokenizer_config.json", """{"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>"}""");
        folder.Write("vocab.json", File.ReadAllText(SharedData.Path("tokenizers", "gpt2", "vocab.json")));
        folder.Write("merges.txt", File.ReadAllText(SharedData.Path("tokenizers", "gpt2", "merges.txt")));
        Compare(
            Tokenizer.Load(folder.Path),
            Gpt2Slow(),
            (slow, text) => slow.ByteLevel(text, SlowEncoder.Qwen2),
            text => UnicodeNormalization.Normalize(text, NormalizationForm.FormC));
    }

    [SharedDataFact]
    public void Sentencepiece_agrees_with_the_slow_encoder() =>
        Compare(
            Tokenizer.Load(SharedData.Path("stories260K", "hf")), JsonSlow("stories260K", "hf"), (slow, text) => slow.SentencePiece(text));

    [SharedDataFact]
    public void A_sentencepiece_protobuf_gives_the_ids_of_the_same_vocabulary_as_json()
    {
        using TemporaryFolder folder = new();
        File.WriteAllBytes(folder["tokenizer.model"], SentencePieceModel(File.ReadAllBytes(SharedData.Path("stories260K", "tok512.bin"))));
        Tokenizer json = Tokenizer.Load(SharedData.Path("stories260K", "hf")), model = Tokenizer.Load(folder.Path);
        Assert.Equal((1, 2), (model.BosId, model.EosIds[0]));
        foreach (string text in HardTexts.All())
        {
            Assert.Equal(json.Encode(text), model.Encode(text));
            Assert.Equal(json.Decode(json.Encode(text)), model.Decode(model.Encode(text)));
        }
    }

    [SharedDataFact]
    public void Long_pieces_merge_as_the_slow_encoder_merges_them()
    {
        Tokenizer tokenizer = Tokenizer.Load(SharedData.Path("tokenizers", "gpt2"));
        SlowEncoder slow = Gpt2Slow();
        Random random = new(5);
        foreach (int length in (int[])[49, 200, 1000])
        {
            string text = string.Concat(Enumerable.Range(0, length).Select(_ => "abinest"[random.Next(7)]));
            Assert.Equal(slow.ByteLevel(text, SlowEncoder.Gpt2), tokenizer.Encode(text));
            Assert.Equal(slow.ByteLevel(new string('a', length), SlowEncoder.Gpt2), tokenizer.Encode(new string('a', length)));
        }
    }

    internal static void Compare(
        Tokenizer tokenizer, SlowEncoder slow, Func<SlowEncoder, string, int[]> encode, Func<string, string>? normalize = null,
        IEnumerable<string>? texts = null)
    {
        foreach (string text in texts ?? HardTexts.All())
        {
            string wellFormed = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            string normalized = normalize is null ? wellFormed : normalize(wellFormed);
            int[] ids = tokenizer.Encode(text, bos: false);
            Assert.Equal((text, string.Join(' ', encode(slow, normalized))), (text, string.Join(' ', ids)));
            Assert.Equal(tokenizer.IdOf("▁") is null ? normalized : normalized.Replace('▁', ' '), tokenizer.Decode(ids));

            StreamingDecoder stream = tokenizer.StartDecoding();
            string[] parts = [.. ids.Select(stream.Add), stream.Finish()];
            Assert.Equal(tokenizer.Decode(ids), string.Concat(parts));
            Assert.DoesNotContain(parts, p => p.Length > 0 && (char.IsHighSurrogate(p[^1]) || char.IsLowSurrogate(p[0])));
        }
    }

    private static SlowEncoder Gpt2Slow()
    {
        Dictionary<string, int> vocabulary =
            JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllText(SharedData.Path("tokenizers", "gpt2", "vocab.json")))!;
        string[][] merges = [.. File.ReadAllLines(SharedData.Path("tokenizers", "gpt2", "merges.txt"))
            .Skip(1)
            .Where(l => l.Length > 0)
            .Select(l => l.Split(' '))];
        return new SlowEncoder(vocabulary, [.. merges.Select(m => (m[0], m[1]))]);
    }

    private static SlowEncoder JsonSlow(params string[] folder)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(SharedData.Path([.. folder, "tokenizer.json"])));
        JsonElement model = document.RootElement.GetProperty("model");
        return new SlowEncoder(
            model.GetProperty("vocab").Deserialize<Dictionary<string, int>>()!,
            [.. model.GetProperty("merges")
                .EnumerateArray()
                .Select(m => m.ValueKind == JsonValueKind.Array ? (m[0].GetString()!, m[1].GetString()!) : Pair(m.GetString()!))]);

        static (string, string) Pair(string merge) => (merge.Split(' ')[0], merge.Split(' ')[1]);
    }

    /// <summary>The pieces of a llama2.c vocabulary as sentencepiece's protobuf.</summary>
    private static byte[] SentencePieceModel(byte[] llama2c)
    {
        List<byte> model = [];
        for (int at = 4, id = 0; at < llama2c.Length; id++)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(llama2c.AsSpan(at + 4));
            string text = Encoding.UTF8.GetString(llama2c, at + 8, length);
            byte[] piece = Encoding.UTF8.GetBytes(id < 3 ? text.Trim('\n') : id < 259 ? text : text.Replace(' ', '▁'));
            byte type = (byte)(id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1);
            byte[] message = [0x0A, (byte)piece.Length, .. piece, 0x15, .. llama2c[at..(at + 4)], 0x18, type];
            model.AddRange([0x0A, (byte)message.Length, .. message]);
            at += 8 + length;
        }

        // Trainer: model_type BPE. Normalizer: remove_extra_whitespaces off.
        model.AddRange([0x12, 2, 0x18, 2, 0x1A, 2, 0x20, 0]);
        return [.. model];
    }
}
