using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Text.Tokenizers;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

public sealed class CheckpointTests
{
    private static readonly string[] s_fileTypes = ["F32", "F16", "BF16"];

    public static TheoryData<string, string, DType, bool> EveryModelAndType()
    {
        TheoryData<string, string, DType, bool> cases = [];
        foreach (string model in ReferenceConfigs.All.Keys)
        {
            foreach (string type in s_fileTypes)
            {
                cases.Add(model, type, DType.Float32, false);
                cases.Add(model, type, DType.BFloat16, true);
            }

            cases.Add(model, "F32", DType.BFloat16, false);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(EveryModelAndType))]
    public void Loading_and_saving_without_training_keeps_every_bit(string model, string fileType, DType memoryType, bool sharded)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        using var folder = new TemporaryFolder();
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, fileType, seed: 1);
        Folders.Write(folder["in"], Folders.Config(config), tensors);
        File.WriteAllText(folder["in", "tokenizer.json"], "{ \"any\":\t1 }");

        using var memory = new HostMemory();
        using (Checkpoint checkpoint = Checkpoint.Open(folder["in"]))
        {
            AssertConfig(config, checkpoint.Config);
            List<Parameter> parameters = Folders.Parameters(config, memory, memoryType, master: sharded);
            checkpoint.LoadInto(parameters, memory);
            CheckpointWriter.Write(folder["out"], checkpoint, parameters, memory, sharded ? 1000 : CheckpointWriter.DefaultShardBytes);
        }

        Assert.Equal(File.ReadAllBytes(folder["in", "config.json"]), File.ReadAllBytes(folder["out", "config.json"]));
        Assert.Equal("{ \"any\":\t1 }", File.ReadAllText(folder["out", "tokenizer.json"]));
        Assert.Equal(sharded, !File.Exists(folder["out", "model.safetensors"]));
        Assert.Equal(sharded, File.Exists(folder["out", "model.safetensors.index.json"]));
        Folders.AssertSame(tensors, ReadAll(folder["out"]));

        // What was written in shards is read in shards.
        using Checkpoint again = Checkpoint.Open(folder["out"]);
        CheckpointWriter.Write(folder["again"], again, LoadAll(again, config, memory), memory);
        Folders.AssertSame(tensors, Folders.ReadTensors(folder["again", "model.safetensors"]));
    }

    [Theory]
    [InlineData("llama", "F32", false)]
    [InlineData("llama", "F16", true)]
    [InlineData("gpt2", "BF16", false)]
    [InlineData("gemma3", "BF16", true)]
    public void Weights_that_PyTorch_pickled_are_read_and_written_as_safetensors(string model, string fileType, bool sharded)
    {
        ModelConfig config = ReferenceConfigs.All[model];
        using var folder = new TemporaryFolder();
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, fileType, seed: 1);
        Folders.Write(folder["in"], Folders.Config(config), tensors);
        File.Delete(folder["in", "model.safetensors"]);
        if (sharded)
        {
            Dictionary<string, string> files = tensors.Keys.Select((name, i) => (name, i))
                .ToDictionary(p => p.name, p => $"pytorch_model-{(p.i % 2) + 1:D5}-of-00002.bin");
            var index = new JsonObject { ["weight_map"] = JsonSerializer.SerializeToNode(files) };
            File.WriteAllText(folder["in", "pytorch_model.bin.index.json"], index.ToJsonString());
            foreach (IGrouping<string, string> shard in files.GroupBy(p => p.Value, p => p.Key))
            {
                TorchWriter.Write(folder["in", shard.Key], shard.ToDictionary(name => name, name => tensors[name]));
            }
        }
        else
        {
            TorchWriter.Write(folder["in", "pytorch_model.bin"], tensors);
        }

        using var memory = new HostMemory();
        using (Checkpoint checkpoint = Checkpoint.Open(folder["in"]))
        {
            CheckpointWriter.Write(folder["out"], checkpoint, LoadAll(checkpoint, config, memory), memory);
        }

        Folders.AssertSame(tensors, Folders.ReadTensors(folder["out", "model.safetensors"]));
        Assert.Equal(["config.json", "model.safetensors"], Directory.EnumerateFiles(folder["out"]).Select(Path.GetFileName).Order());

        // A changed file is another model, as a resumed run must know.
        string before = FileHash.OfAll(folder["in"]), changed = Directory.EnumerateFiles(folder["in"], "*.bin").First();
        File.AppendAllText(changed, "x");
        Assert.NotEqual(before, FileHash.OfAll(folder["in"]));
    }

    [Theory]
    [InlineData("F32")]
    [InlineData("F16")]
    [InlineData("BF16")]
    public void Values_in_memory_are_those_of_the_file_with_Conv1D_transposed(string fileType)
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        using var folder = new TemporaryFolder();
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, fileType, seed: 2);
        Folders.Write(folder.Path, Folders.Config(config), tensors);

        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        foreach (Parameter parameter in LoadAll(checkpoint, config, memory))
        {
            Folders.Raw raw = tensors[parameter.Name];
            float[] file = Folders.Values(raw);
            bool transposed = raw.Shape.Length == 2 && parameter.Kind == ParameterKind.Matrix;
            for (int row = 0; row < parameter.Shape.Rows; row++)
            {
                for (int column = 0; column < parameter.Shape.Columns; column++)
                {
                    float expected =
                        transposed ? file[(column * parameter.Shape.Rows) + row] : file[(row * parameter.Shape.Columns) + column];
                    Assert.Equal(expected, parameter.Value.AsSpan<float>()[(row * parameter.Shape.Columns) + column]);
                }
            }
        }
    }

    [Theory]
    [InlineData("F32")]
    [InlineData("F16")]
    [InlineData("BF16")]
    public void Changed_elements_are_rounded_to_the_files_type_and_others_keep_their_bits(string fileType)
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        using var folder = new TemporaryFolder();
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, fileType, seed: 3);
        Folders.Write(folder["in"], Folders.Config(config), tensors);

        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder["in"]);
        List<Parameter> parameters = LoadAll(checkpoint, config, memory);
        Parameter changed = parameters.Single(p => p.Name == "transformer.h.1.attn.c_attn.weight");

        // 1 + 2⁻⁸ + 2⁻¹¹ + 2⁻²⁰: BF16 (7 bits of fraction) and F16 (10 bits) both round it up.
        changed.Value.AsSpan<float>()[(2 * changed.Shape.Columns) + 1] = 1 + 0.00390625f + 0.00048828125f + 9.5367431640625e-7f;
        CheckpointWriter.Write(folder["out"], checkpoint, parameters, memory);

        Dictionary<string, Folders.Raw> written = Folders.ReadTensors(folder["out", "model.safetensors"]);
        int place = (1 * changed.Shape.Rows) + 2;
        float expected = fileType switch
        {
            "F32" => 1.00439549f,
            "F16" => 1 + (5 / 1024f),
            _ => 1 + (1 / 128f),
        };
        Assert.Equal(expected, Folders.Values(written[changed.Name])[place], 1e-8);
        int size = tensors[changed.Name].Data.Length / (int)changed.Shape.Count;
        tensors[changed.Name].Data.AsSpan(place * size, size).Clear();
        written[changed.Name].Data.AsSpan(place * size, size).Clear();
        Folders.AssertSame(tensors, written);
    }

    [Fact]
    public void Large_tensors_travel_in_bounded_pieces()
    {
        const int Rows = 3000;
        const int Columns = 2000;
        using var folder = new TemporaryFolder();
        ModelConfig config = ReferenceConfigs.All["llama-tied"] with { VocabularySize = Rows, HiddenSize = Columns, Layers = 1 };
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, "BF16", seed: 4);
        Folders.Write(folder["in"], Folders.Config(config), tensors);
        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder["in"]);
        List<Parameter> parameters = LoadAll(checkpoint, config, memory);
        CheckpointWriter.Write(folder["out"], checkpoint, parameters, memory);
        Folders.AssertSame(tensors, Folders.ReadTensors(folder["out", "model.safetensors"]));
        Assert.InRange(memory.LargestTransfer, 1, 1 << 21);
    }

    [Fact]
    public void Hub_gpt2_names_without_prefix_and_buffers_are_read_and_kept()
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        using var folder = new TemporaryFolder();
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, "F32", seed: 5)
            .ToDictionary(p => p.Key["transformer.".Length..], p => p.Value);
        tensors["h.0.attn.bias"] = new("BOOL", [1, 1, 3, 3], [1, 0, 0, 1, 1, 0, 1, 1, 1]);
        tensors["h.0.attn.masked_bias"] = new("F32", [], [1, 2, 3, 4]);
        tensors["lm_head.weight"] = tensors["wte.weight"];
        Folders.Write(folder["in"], Folders.Config(config), tensors);

        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder["in"]);
        List<Parameter> parameters = LoadAll(checkpoint, config, memory);
        CheckpointWriter.Write(folder["out"], checkpoint, parameters, memory);
        Folders.AssertSame(tensors, Folders.ReadTensors(folder["out", "model.safetensors"]));
    }

    [Fact]
    public void A_model_made_here_is_written_and_read_with_the_same_configuration()
    {
        foreach ((string name, ModelConfig config) in ReferenceConfigs.All)
        {
            using var folder = new TemporaryFolder();
            using var memory = new HostMemory();
            List<Parameter> parameters = Folders.Parameters(config, memory);
            var random = new Random(6);
            foreach (Parameter parameter in parameters)
            {
                foreach (ref float value in parameter.Value.AsSpan<float>())
                {
                    value = random.NextSingle() - 0.5f;
                }
            }

            CheckpointWriter.WriteNew(
                folder["out"], config, parameters, memory, addFiles: path => File.WriteAllText(Path.Combine(path, "tokenizer.json"), name));

            using Checkpoint checkpoint = Checkpoint.Open(folder["out"]);
            AssertConfig(config, checkpoint.Config);
            Assert.Equal(name, File.ReadAllText(folder["out", "tokenizer.json"]));
            List<Parameter> read = LoadAll(checkpoint, config, memory);
            Assert.All(parameters.Zip(read), p => Assert.True(
                Bytes(p.First).SequenceEqual(Bytes(p.Second)), p.First.Name));
        }
    }

    [SharedDataFact]
    public void Stories_folder_goes_in_and_out_unchanged()
    {
        using var folder = new TemporaryFolder();
        using var memory = new HostMemory();
        string source = SharedData.Path("stories260K", "hf");
        using Checkpoint checkpoint = Checkpoint.Open(source);
        List<Parameter> parameters = LoadAll(checkpoint, checkpoint.Config, memory);
        Assert.Equal(260_032, parameters.Sum(p => p.Shape.Count));
        CheckpointWriter.Write(folder["out"], checkpoint, parameters, memory);
        Folders.AssertSame(
            Folders.ReadTensors(Path.Combine(source, "model.safetensors")), Folders.ReadTensors(folder["out", "model.safetensors"]));
        foreach (string name in new[] { "config.json", "tokenizer.json", "tokenizer_config.json" })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(source, name)), File.ReadAllBytes(folder["out", name]));
        }
    }

    [SharedDataFact]
    public void Llama2c_file_equals_the_folder_of_the_same_model()
    {
        using var folder = new TemporaryFolder();
        using var memory = new HostMemory();
        using Checkpoint expected = Checkpoint.Open(SharedData.Path("stories260K", "hf"));
        using Checkpoint checkpoint = Checkpoint.Open(SharedData.Path("stories260K", "stories260K.bin"));
        AssertConfig(expected.Config, checkpoint.Config);
        Assert.Equal(SharedData.Path("stories260K", "tok512.bin"), checkpoint.TokenizerPath);

        CheckpointWriter.Write(folder["out"], checkpoint, LoadAll(checkpoint, checkpoint.Config, memory), memory);
        Folders.AssertSame(
            Folders.ReadTensors(SharedData.Path("stories260K", "hf", "model.safetensors")),
            Folders.ReadTensors(folder["out", "model.safetensors"]));
        AssertConfig(expected.Config, ConfigFile.Read(folder["out"]));

        JsonNode tokenizer = JsonNode.Parse(File.ReadAllText(folder["out", "tokenizer.json"]))!;
        JsonNode published = JsonNode.Parse(File.ReadAllText(SharedData.Path("stories260K", "hf", "tokenizer.json")))!;
        Assert.True(JsonNode.DeepEquals(published["model"]!["vocab"], tokenizer["model"]!["vocab"]));
        foreach (string part in new[] { "added_tokens", "normalizer", "post_processor", "decoder" })
        {
            Assert.True(JsonNode.DeepEquals(published[part], tokenizer[part]), part);
        }

        const string Story = "Once upon a time, there was a little girl named Lily. \"Ünïcode\" 日本\n";
        Assert.Equal(Tokenizer.Load(SharedData.Path("stories260K", "hf")).Encode(Story), Tokenizer.Load(folder["out"]).Encode(Story));
    }

    // llama.cpp's converter reads these two by these names, in these places.
    [Theory]
    [InlineData("gpt2", "n_ctx", 13)]
    [InlineData("llama-scaled-rope", "original_max_position_embeddings", 32)]
    public void A_written_configuration_has_the_keys_that_converters_ask_for(string model, string key, int expected)
    {
        using var folder = new TemporaryFolder();
        ModelConfig config = ReferenceConfigs.All[model] with { ContextLength = 13 };
        ConfigWriter.Write(folder.Path, config, StoredType.F32);
        Assert.Equal(expected, (int)JsonNode.Parse(File.ReadAllText(folder["config.json"]))![key]!);
        AssertConfig(config, ConfigFile.Read(folder.Path));
    }

    [Theory]
    [InlineData("F16", 1e5f, "F16", "a value is 1e+5, expected at most 6.55e+4")]
    [InlineData("BF16", 3.4e38f, "BF16", "a value is 3.4e+38, expected at most 3.39e+38")]
    [InlineData("F32", float.NaN, "F32", "a value is NaN, expected a finite number")]
    [InlineData("F32", float.PositiveInfinity, "BF16", "a value is Infinity, expected a finite number")]
    public void A_value_that_the_file_does_not_hold_is_refused_and_nothing_is_written(
        string source, float value, string target, string expected)
    {
        ModelConfig config = ReferenceConfigs.All["llama"];
        using var folder = new TemporaryFolder();
        Folders.Write(folder["in"], Folders.Config(config), Folders.Tensors(config, source, seed: 3));
        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder["in"]);
        List<Parameter> parameters = LoadAll(checkpoint, config, memory);
        parameters.Single(p => p.Name == "model.layers.1.mlp.up_proj.weight").Value.AsSpan<float>()[5] = value;
        UserException error = Assert.Throws<UserException>(
            () => CheckpointWriter.Write(
                folder["out"], checkpoint, parameters, memory, type: target == source ? null : Enum.Parse<StoredType>(target)));
        Assert.StartsWith("model.layers.1.mlp.up_proj.weight: " + expected, error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["out"]));
    }

    [Fact]
    public void Another_type_is_written_with_the_same_values_and_named_in_the_configuration()
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"];
        using var folder = new TemporaryFolder();
        JsonObject json = Folders.Config(config);
        json["torch_dtype"] = "float32";
        Dictionary<string, Folders.Raw> tensors = Folders.Tensors(config, "BF16", seed: 3);
        Folders.Write(folder["in"], json, tensors);
        using var memory = new HostMemory();
        using Checkpoint checkpoint = Checkpoint.Open(folder["in"]);
        Assert.Equal(
            0, CheckpointWriter.Write(folder["out"], checkpoint, LoadAll(checkpoint, config, memory), memory, type: StoredType.F32));
        Dictionary<string, Folders.Raw> written = Folders.ReadTensors(folder["out", "model.safetensors"]);
        foreach ((string name, Folders.Raw tensor) in tensors)
        {
            Assert.Equal("F32", written[name].Type);
            Assert.Equal(Folders.Values(tensor), Folders.Values(written[name]));
        }

        Assert.Equal("float32", (string?)JsonNode.Parse(File.ReadAllText(folder["out", "config.json"]))!["torch_dtype"]);
    }

    private static List<Parameter> LoadAll(Checkpoint checkpoint, ModelConfig config, HostMemory memory)
    {
        List<Parameter> parameters = Folders.Parameters(config, memory);
        checkpoint.LoadInto(parameters, memory);
        return parameters;
    }

    private static Dictionary<string, Folders.Raw> ReadAll(string folder) =>
        Directory.GetFiles(folder, "*.safetensors").SelectMany(Folders.ReadTensors).ToDictionary(p => p.Key, p => p.Value);

    private static Span<byte> Bytes(Parameter parameter) => MemoryMarshal.AsBytes(parameter.Value.AsSpan<float>());

    private static void AssertConfig(ModelConfig expected, ModelConfig actual)
    {
        Assert.Equal(expected.Windows, actual.Windows);
        Assert.Equal(expected.EosTokenIds, actual.EosTokenIds);
        Assert.Equal(expected.RotaryLayers, actual.RotaryLayers);
        Assert.Equal(WithoutLists(expected), WithoutLists(actual));

        static ModelConfig WithoutLists(ModelConfig config) => config with { Windows = [], EosTokenIds = [], RotaryLayers = [] };
    }
}
