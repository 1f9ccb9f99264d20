using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Text.Tokenizers;
using LLama;
using LLama.Native;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>GGUF files as models: what was exported and what llama.cpp itself wrote is read as the model it came from.</summary>
[Collection(TinyModels.Shared)]
public sealed class SourceTests(TinyModels models)
{
    private const int Mutations = 3000;

    public static TheoryData<string> Names => [.. TinyModels.All.Keys];

    private static int[] Start => TinyModels.Sequence[..6];

    [Theory]
    [MemberData(nameof(Names))]
    public void An_exported_model_is_read_with_its_configuration_and_weights(string name)
    {
        using TemporaryFolder folder = new();
        using Checkpoint original = Checkpoint.Open(models[name]);
        foreach (GgufType type in (GgufType[])[GgufType.F32, GgufType.F16, GgufType.BF16, GgufType.Q8_0])
        {
            string file = folder[$"{type}.gguf"];
            GgufExport.WriteModel(models[name], file, type);
            using Checkpoint read = Checkpoint.Open(file);
            AssertConfig(original.Config, read.Config);
            AssertWeights(read, new GgufReader(file));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_llama_cpp_wrote_is_continued_as_llama_cpp_does(string name)
    {
        using TemporaryFolder folder = new();
        GgufExport.WriteModel(models[name], folder["f32.gguf"], GgufType.F32);
        new LlamaCppModel(folder["f32.gguf"]).Dispose(); // finds the library, which the quantizer does not

        // It makes no blocks of rows that are not whole blocks.
        ModelConfig config = TinyModels.All[name].Config;
        LLamaFtype type = config.Heads * config.HeadSize % GgufTypes.BlockElements == 0 ? LLamaFtype.MOSTLY_Q8_0 : LLamaFtype.MOSTLY_F16;
        Assert.True(LLamaQuantizer.Quantize(folder["f32.gguf"], folder["theirs.gguf"], type, nthread: 1));
        using var theirs = new LlamaCppModel(folder["theirs.gguf"]);
        using var ours = new HeldModel(folder["theirs.gguf"]);
        int[] ids = ours.Greedy(Start, 80);
        Assert.Equal(theirs.Greedy(Start, 80), ids);
        AssertWeights(Checkpoint.Open(folder["theirs.gguf"]), new GgufReader(folder["theirs.gguf"]));

        // A folder of its own, as training writes it.
        using (var backend = new CpuBackend(1))
        using (var loaded = LoadedModel.Load(folder["theirs.gguf"], backend))
        {
            CheckpointWriter.Write(folder["out"], loaded.Source, loaded.Decoder.BaseParameters, backend);
        }

        using var written = new HeldModel(folder["out"]);
        Assert.Equal(ids, written.Greedy(Start, 80));
        Assert.Equal(Tokenizer.Load(models[name]).Encode(TinyTokenizers.Text), Tokenizer.Load(folder["out"]).Encode(TinyTokenizers.Text));
    }

    [Fact]
    public void Damaged_files_are_read_or_refused_in_one_line()
    {
        using TemporaryFolder folder = new();
        GgufExport.WriteModel(models["llama3"], folder["sound.gguf"], GgufType.Q8_0);
        byte[] sound = File.ReadAllBytes(folder["sound.gguf"]);
        int front = new GgufReader(folder["sound.gguf"]).DataStart;
        var random = new Random(5);
        int read = 0;
        for (int i = 0; i < Mutations; i++)
        {
            byte[] bytes = [.. sound];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                // The sizes come first, the tensors last; the words of the tokenizer, which nobody reads, are most of it.
                int at = random.Next(3) switch { 0 => random.Next(900), 1 => front - random.Next(1, 1200), _ => random.Next(front) };
                bytes[at] = random.Next(2) == 0 ? (byte)random.Next(256) : (byte)(bytes[at] ^ (1 << random.Next(8)));
            }

            string path = folder["damaged.gguf"];
            File.WriteAllBytes(path, random.Next(10) == 0 ? bytes[..random.Next(1, bytes.Length)] : bytes);
            try
            {
                using Checkpoint checkpoint = Checkpoint.Open(path);
                read++;
            }
            catch (UserException error)
            {
                Assert.StartsWith(path, error.Message, StringComparison.Ordinal);
                Assert.DoesNotContain('\n', error.Message);
            }
        }

        Assert.InRange(read, 1, Mutations - 1);
    }

    [Theory]
    [InlineData("general.architecture", "mamba", "general.architecture is \"mamba\", expected one of llama, qwen2, ")]
    [InlineData("llama.expert_count", 8u, "llama.expert_count is 8, expected no mixture of experts")]
    [InlineData("llama.rope.scaling.yarn_log_multiplier", 0.1f, "has llama.rope.scaling.yarn_log_multiplier, which is not read")]
    [InlineData("llama.block_count", "two", "has llama.block_count other than a whole number")]
    [InlineData("llama.attention.head_count", 0u, "llama.attention.head_count is 0, expected at least 1")]
    [InlineData(
        "llama.attention.head_count", 1000u, "llama.attention.head_count is 1000, expected at most ", "llama.attention.key_length")]
    [InlineData("llama.attention.key_length", 0u, "llama.attention.key_length is 0, expected at least 1")]
    [InlineData("llama.rope.freq_base", float.NaN, "llama.rope.freq_base is NaN, expected a finite number")]
    [InlineData("gptneox.attention.head_count", 0u, "gptneox.attention.head_count is 0, expected at least 1")]
    [InlineData(
        "gptneox.attention.head_count", 1000u, "gptneox.attention.head_count is 1000, expected at most ",
        "gptneox.attention.head_count_kv")]
    [InlineData("gpt2.attention.head_count", 0u, "gpt2.attention.head_count is 0, expected at least 1")]
    [InlineData("gemma2.attention.scale", 0f, "gemma2.attention.scale is 0, expected a positive number")]
    [InlineData("llama.attention.value_length", 8u, "llama.attention.value_length is 8, expected 16")]
    [InlineData("llama.embedding_length", 60u, "")]
    public void A_model_that_is_another_is_refused_by_the_key(string key, object value, string message, string? without = null)
    {
        using TemporaryFolder folder = new();
        string model = key.Split('.')[0] switch { "gptneox" => "gpt_neox", "general" => "llama", var architecture => architecture };
        GgufExport.WriteModel(models[model], folder["m.gguf"], GgufType.F32);
        var metadata = new GgufMetadata();
        var file = new GgufReader(folder["m.gguf"]);
        file.Metadata[key] = value;
        _ = without is not null && file.Metadata.Remove(without);
        foreach ((string name, object one) in file.Metadata.Where(m => m.Value is not object[]))
        {
            switch (one)
            {
                case string text: metadata.Add(name, text); break;
                case uint number: metadata.Add(name, number); break;
                case float number: metadata.Add(name, number); break;
                case bool flag: metadata.Add(name, flag); break;
            }
        }

        using (FileStream stream = File.Create(folder["other.gguf"]))
        {
            GgufFile.Write(stream, metadata, [.. file.Tensors.Select(t => t.Value.Sizes.Length == 1
                ? GgufTensor.Vector(t.Key, new MemoryRow(t.Value.Values()))
                : new GgufTensor(t.Key, GgufType.F32, false, new Matrix(t.Value)))]);
        }

        string found = Assert.Throws<UserException>(() => Checkpoint.Open(folder["other.gguf"])).Message;
        Assert.StartsWith($"{folder["other.gguf"]}: {message}", found, StringComparison.Ordinal);
    }

    private static void AssertConfig(ModelConfig expected, ModelConfig found)
    {
        // llama.cpp has one name for both, and a file does not say which token ends nothing.
        if (expected.Family == ModelFamilies.Mistral)
            expected = expected with { Family = ModelFamilies.Llama };

        Assert.Equal(expected.Windows, found.Windows);
        Assert.Equal(expected.EosTokenIds[0], found.EosTokenIds[0]);
        Assert.Equal(expected.RotaryLayers, found.RotaryLayers);
        Assert.Equal(expected.AttentionScale, found.AttentionScale, 1e-6);
        Assert.Equal(expected.EmbeddingScale, found.EmbeddingScale, 1e-6);
        Assert.Equal(expected.LogitScale, found.LogitScale, 1e-6);
        Assert.Equal(Plain(expected), Plain(found));

        static ModelConfig Plain(ModelConfig config) => config with
        {
            Windows = [],
            EosTokenIds = [],
            RotaryLayers = [],
            BosTokenId = null,
            AttentionScale = 1,
            EmbeddingScale = 1,
            LogitScale = 1,
        };
    }

    // Every parameter by the description of the format and llama.cpp's order of rows, which GgufReader and HeldModel know by themselves.
    private static void AssertWeights(Checkpoint read, GgufReader file)
    {
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(read.Config, backend);
        read.LoadInto(decoder.BaseParameters, backend);
        foreach (Parameter parameter in decoder.BaseParameters)
        {
            float[] expected = HeldModel.ValuesOf(file, read.Config, parameter);
            Assert.Equal(expected, parameter.Value.AsSpan<float>().ToArray());
        }
    }

    private sealed class Matrix(GgufReader.Tensor tensor) : IRows
    {
        public int Rows => (int)tensor.Sizes[1];

        public int Columns => (int)tensor.Sizes[0];

        public void Read(int first, Span<float> values) => tensor.Values().AsSpan(first * Columns, values.Length).CopyTo(values);
    }
}
