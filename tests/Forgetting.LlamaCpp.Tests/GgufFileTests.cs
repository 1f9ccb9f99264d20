using System.Buffers.Binary;
using System.Text.Json;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>The files themselves, read by the format's description, and what is refused.</summary>
[Collection(TinyModels.Shared)]
public class GgufFileTests(TinyModels models)
{
    [Theory]
    [InlineData(GgufType.F32, 0u)]
    [InlineData(GgufType.F16, 1u)]
    [InlineData(GgufType.BF16, 30u)]
    [InlineData(GgufType.Q8_0, 8u)]
    public void Tensors_tile_the_file_at_multiples_of_32_bytes(GgufType type, uint number)
    {
        using TemporaryFolder folder = new();
        GgufExport.WriteModel(models["llama3"], folder["m.gguf"], type);
        var file = new GgufReader(folder["m.gguf"]);
        Assert.Equal(3u, file.Version);
        long end = 0;
        foreach (GgufReader.Tensor tensor in file.Tensors.Values.OrderBy(t => t.Offset))
        {
            Assert.Equal(end, tensor.Offset);
            end = (tensor.Offset + tensor.Data.Length + 31) / 32 * 32;
        }

        Assert.Equal(file.Length, file.DataStart + end);

        // Vectors are exact in files of any type; 48 columns are no whole blocks of 32.
        Assert.Equal((number, 0u), (file.Tensors["blk.0.ffn_up.weight"].Type, file.Tensors["blk.1.attn_norm.weight"].Type));
        Assert.Equal(type == GgufType.Q8_0 ? 1u : number, file.Tensors["blk.0.attn_output.weight"].Type);
        Assert.Equal([48, 64], file.Tensors["blk.0.attn_output.weight"].Sizes);
        Assert.DoesNotContain("output.weight", file.Tensors.Keys); // tied
    }

    [Fact]
    public void Metadata_say_what_the_model_is()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(folder["m"]).FullName, "chat_template.jinja"), "{{ bos_token }}");
        foreach (string copied in Directory.GetFiles(models["llama3"]))
        {
            File.Copy(copied, Path.Combine(folder["m"], Path.GetFileName(copied)));
        }

        File.WriteAllText(Path.Combine(folder["m"], "generation_config.json"), """{"eos_token_id": [0, 438]}""");
        GgufExport.WriteModel(folder["m"], folder["m.gguf"], GgufType.F32);
        var file = new GgufReader(folder["m.gguf"]);
        (string Key, object Value)[] expected =
        [
            ("general.architecture", "llama"), ("general.type", "model"), ("general.name", "m"), ("general.file_type", 0u),
            ("llama.context_length", 192u), ("llama.embedding_length", 64u), ("llama.block_count", 2u), ("llama.feed_forward_length", 96u),
            ("llama.attention.head_count", 4u), ("llama.attention.head_count_kv", 4u), ("llama.attention.key_length", 12u),
            ("llama.attention.value_length", 12u), ("llama.attention.layer_norm_rms_epsilon", 1e-5f), ("llama.rope.dimension_count", 12u),
            ("llama.rope.freq_base", 500f), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "llama-bpe"),
            ("tokenizer.ggml.eos_token_id", 0u), ("tokenizer.ggml.eot_token_id", 438u),
            ("tokenizer.ggml.add_bos_token", true), ("tokenizer.ggml.add_eos_token", false), ("tokenizer.chat_template", "{{ bos_token }}"),
        ];
        Assert.All(expected, pair => Assert.Equal(pair.Value, file.Metadata[pair.Key]));

        // Control tokens, one that any text may spell, and rows of the embedding that are no token.
        object[] tokens = (object[])file.Metadata["tokenizer.ggml.tokens"], types = (object[])file.Metadata["tokenizer.ggml.token_type"];
        Assert.Equal(file.Tensors["token_embd.weight"].Sizes[1], tokens.Length);
        Assert.Equal([3, 1], types.Take(2));
        Assert.Equal(["<|turn|>", "<extra>", .. Enumerable.Range(tokens.Length - 5, 5).Select(i => $"[PAD{i}]")], tokens[^7..]);
        Assert.Equal([3, 4, 5, 5, 5, 5, 5], types[^7..]);
        using JsonDocument tokenizer = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["m"], "tokenizer.json")));
        JsonElement merges = tokenizer.RootElement.GetProperty("model").GetProperty("merges");
        Assert.Equal(merges.EnumerateArray().Select(m => $"{m[0]} {m[1]}"), (object[])file.Metadata["tokenizer.ggml.merges"]);

        // Llama 3's scaling of the slowest pair, by the formula: all of the factor where 64 positions are less than a full turn.
        float[] factors = file.Tensors["rope_freqs.weight"].Values();
        Assert.Equal((6, 1f, 8f), (factors.Length, factors[0], factors[^1]));
    }

    [Fact]
    public void Q8_0_holds_each_block_in_127ths_of_its_largest_value()
    {
        // Steps of 0.5 with halves, a block of zeros, and one whose largest value is negative.
        float[] values = [63.5f, 0.25f, -0.25f, 0.75f, .. new float[28], .. new float[32], -254f, 1, 3, .. new float[29]];
        byte[] bytes = new byte[3 * 34];
        GgufEncoding.Encode("x", values, GgufType.Q8_0, bytes);
        Assert.Equal([0.5f, 0, 2], new[] { 0, 34, 68 }.Select(at => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes.AsSpan(at))));
        Assert.Equal([127, 1, -1, 2, 0], bytes[2..7].Select(b => (int)(sbyte)b));
        Assert.All(bytes[36..68], b => Assert.Equal(0, b));
        Assert.Equal([-127, 1, 2], bytes[70..73].Select(b => (int)(sbyte)b)); // halves away from zero
    }

    [Theory]
    [InlineData(GgufType.F16, 7e4f, "too large for f16")]
    [InlineData(GgufType.F32, float.NaN, "not finite")]
    [InlineData(GgufType.Q8_0, float.PositiveInfinity, "not finite")]
    [InlineData(GgufType.BF16, float.MaxValue, "too large for bf16")]
    [InlineData(GgufType.Q8_0, 1e7f, "too large for q8_0")]
    public void A_value_that_the_type_cannot_hold_is_refused(GgufType type, float value, string message)
    {
        float[] values = [.. new float[31], value];
        var refused = Assert.Throws<UserException>(() => GgufEncoding.Encode("x", values, type, new byte[128]));
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gpt_neo", "model_type is gpt_neo; for GGUF expected llama, mistral, ")]
    [InlineData("qwen2-window", "a layer looks back over a sliding window; for GGUF expected full attention, which is all that llama.cpp "
        + "has for qwen2")]
    [InlineData("gpt2-erf", "activation_function is gelu; for GGUF expected gelu_new, which is all that llama.cpp has for gpt2")]
    public void Models_that_llama_cpp_does_not_know_are_refused_by_name(string name, string message)
    {
        Models.ModelConfig config = Testing.Reference.ReferenceConfigs.All[name];
        Assert.StartsWith(
            $"dir: {message}", Assert.Throws<UserException>(() => GgufArchitecture.From("dir", config)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tokenizer_that_llama_cpp_does_not_know_is_refused_and_leaves_nothing()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["m"]);
        foreach (string copied in Directory.GetFiles(models["llama3"]))
        {
            File.Copy(copied, Path.Combine(folder["m"], Path.GetFileName(copied)));
        }

        string file = Path.Combine(folder["m"], "tokenizer.json"), json = File.ReadAllText(file);
        Refuses(json.Replace(@"\\p{N}{1,3}", @"\\p{N}{1,4}", StringComparison.Ordinal), "a split or a normalizer of another kind");

        // Qwen2's split with words that no merges make.
        string qwen2 = json.Replace(@"\\p{N}{1,3}", @"\\p{N}", StringComparison.Ordinal);
        Refuses(qwen2, "ignore_merges is true and \" zyx\" is no product of merges");
        Assert.Equal(["m"], Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName));

        void Refuses(string tokenizer, string message)
        {
            Assert.NotEqual(json, tokenizer);
            File.WriteAllText(file, tokenizer);
            string found = Assert.Throws<UserException>(() => GgufExport.WriteModel(folder["m"], folder["m.gguf"], GgufType.F32)).Message;
            Assert.True(found.Contains(message, StringComparison.Ordinal), found);
        }
    }
}
