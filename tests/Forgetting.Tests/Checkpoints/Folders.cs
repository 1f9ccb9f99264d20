using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Checkpoints;

/// <summary>Makes model folders byte by byte, without the code under test, and reads them back the same way.</summary>
internal static class Folders
{
    public sealed record Raw(string Type, long[] Shape, byte[] Data);

    /// <summary>config.json in Hugging Face's spelling.</summary>
    public static JsonObject Config(ModelConfig config)
    {
        var json = new JsonObject
        {
            ["vocab_size"] = config.VocabularySize,
            ["tie_word_embeddings"] = config.TiedHead,
            ["bos_token_id"] = config.BosTokenId,
            ["eos_token_id"] = config.EosTokenIds[0],
            ["task_specific_params"] = new JsonObject { ["kept"] = true },
        };
        switch (config.Family.ModelType)
        {
            case "gpt2":
                Set(json, "gpt2", ("n_embd", config.HiddenSize), ("n_inner", config.IntermediateSize), ("n_layer", config.Layers),
                    ("n_head", config.Heads), ("n_positions", config.ContextLength));
                break;
            case "gpt_neo":
                Set(json, "gpt_neo", ("hidden_size", config.HiddenSize), ("intermediate_size", config.IntermediateSize),
                    ("num_layers", config.Layers), ("num_heads", config.Heads), ("max_position_embeddings", config.ContextLength),
                    ("window_size", config.Windows[1]));
                json["attention_types"] = new JsonArray(new JsonArray(new JsonArray("global", "local"), config.Layers / 2));
                break;
            case "gpt_neox":
                Set(json, "gpt_neox", ("hidden_size", config.HiddenSize), ("intermediate_size", config.IntermediateSize),
                    ("num_hidden_layers", config.Layers), ("num_attention_heads", config.Heads),
                    ("max_position_embeddings", config.ContextLength));
                json["layer_norm_eps"] = config.NormEpsilon;
                json["hidden_act"] = config.Activation == ActivationKind.Gelu ? "gelu" : "gelu_new";
                json["rotary_pct"] = (config.RotaryColumns ?? config.HeadSize) / (double)config.HeadSize;
                json["rotary_emb_base"] = config.RopeTheta;
                json["use_parallel_residual"] = config.ParallelBlocks;
                return json;
            default:
                Set(json, config.Family.ModelType, ("hidden_size", config.HiddenSize),
                    ("intermediate_size", config.IntermediateSize), ("num_hidden_layers", config.Layers),
                    ("num_attention_heads", config.Heads), ("num_key_value_heads", config.KeyValueHeads), ("head_dim", config.HeadSize),
                    ("max_position_embeddings", config.ContextLength));
                json["rms_norm_eps"] = config.NormEpsilon;
                json["rope_theta"] = config.RopeTheta;
                json["hidden_act"] = "silu";
                FamilyFields(json, config);
                if (config.Family != ModelFamilies.Llama && config.Windows.Count > 0)
                {
                    json["use_sliding_window"] = true;
                    json["sliding_window"] = config.Windows.Max();
                    json["max_window_layers"] = config.Windows.Count(w => w == 0);
                }

                if (RopeFields(config.RopeScaling) is { } scaling)
                    json["rope_scaling"] = scaling;

                break;
        }

        if (config.LayerNorm)
        {
            json["activation_function"] = config.Activation == ActivationKind.Gelu ? "gelu" : "gelu_new";
            json["layer_norm_epsilon"] = config.NormEpsilon;
        }

        return json;
    }

    private static JsonObject? RopeFields(RopeScaling? scaling) => scaling switch
    {
        LinearRopeScaling linear => new() { ["type"] = "linear", ["factor"] = linear.Factor },
        Llama3RopeScaling llama3 => new()
        {
            ["rope_type"] = "llama3", ["factor"] = llama3.Factor, ["low_freq_factor"] = llama3.LowFrequencyFactor,
            ["high_freq_factor"] = llama3.HighFrequencyFactor, ["original_max_position_embeddings"] = llama3.OriginalContext,
        },
        YarnRopeScaling yarn => new()
        {
            ["rope_type"] = "yarn", ["factor"] = yarn.Factor, ["original_max_position_embeddings"] = yarn.OriginalContext,
        },
        LongRopeScaling lengthened => new()
        {
            ["type"] = "longrope",
            ["short_factor"] = new JsonArray([.. lengthened.ShortFactors.Select(factor => JsonValue.Create(factor))]),
            ["long_factor"] = new JsonArray([.. lengthened.LongFactors.Select(factor => JsonValue.Create(factor))]),
        },
        _ => null,
    };

    private static void FamilyFields(JsonObject json, ModelConfig config)
    {
        switch (config.Family.ModelType)
        {
            case "llama":
                json["attention_bias"] = config.AttentionOutputBias;
                json["mlp_bias"] = config.MlpBias;
                break;
            case "granite":
                json["embedding_multiplier"] = config.EmbeddingScale;
                json["attention_multiplier"] = config.AttentionScale;
                json["residual_multiplier"] = config.ResidualScale;
                json["logits_scaling"] = 1.5;
                break;
            case "phi3":
                if (config.RotaryColumns is { } columns)
                    json["partial_rotary_factor"] = columns / (double)config.HeadSize;

                if (config.RopeScaling is LongRopeScaling lengthened)
                {
                    json["max_position_embeddings"] = lengthened.FullContext;
                    json["original_max_position_embeddings"] = lengthened.OriginalContext;
                }

                break;
            case "gemma":
                json["hidden_act"] = "gelu";
                break;
            case "gemma2":
                json["hidden_activation"] = "gelu_pytorch_tanh";
                json["query_pre_attn_scalar"] = 5;
                json["attn_logit_softcapping"] = config.ScoreCap;
                json["final_logit_softcapping"] = config.LogitCap;
                break;
            case "gemma3_text":
                json["hidden_activation"] = "gelu_pytorch_tanh";
                json["query_pre_attn_scalar"] = 5;
                json["rope_local_base_freq"] = config.WindowRopeTheta;
                json["layer_types"] = new JsonArray(
                    [.. config.Windows.Select(window => JsonValue.Create(window > 0 ? "sliding_attention" : "full_attention"))]);
                break;
            case "smollm3":
                json["no_rope_layers"] = new JsonArray([.. config.RotaryLayers.Select(turned => JsonValue.Create(turned ? 1 : 0))]);
                json["layer_types"] = new JsonArray(
                    [.. config.Windows.Select(window => JsonValue.Create(window > 0 ? "sliding_attention" : "full_attention"))]);
                break;
        }
    }

    /// <summary>Random tensors of a model in a file type, with values that need rounding and a few that trip converters up.</summary>
    public static Dictionary<string, Raw> Tensors(ModelConfig config, string type, int seed)
    {
        var random = new Random(seed);
        Dictionary<string, Raw> tensors = [];
        foreach ((string name, Shape shape) in ReferenceConfigs.Parameters(config))
        {
            var data = new byte[shape.Count * (type == "F32" ? 4 : 2)];
            random.NextBytes(data);
            long[] dimensions = shape.Rows == 1 ? [shape.Columns] : [shape.Rows, shape.Columns];
            tensors[name] = new Raw(type, dimensions, data);
        }

        return tensors;
    }

    public static void Write(string folder, JsonObject config, Dictionary<string, Raw> tensors)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
        WriteTensors(Path.Combine(folder, "model.safetensors"), tensors);
    }

    public static void WriteTensors(string path, Dictionary<string, Raw> tensors)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        long offset = 0;
        foreach ((string name, Raw tensor) in tensors)
        {
            header[name] = new JsonObject
            {
                ["dtype"] = tensor.Type,
                ["shape"] = new JsonArray([.. tensor.Shape.Select(s => JsonValue.Create(s))]),
                ["data_offsets"] = new JsonArray(offset, offset += tensor.Data.Length),
            };
        }

        WriteFile(path, header.ToJsonString(), [.. tensors.Values.SelectMany(t => t.Data)]);
    }

    public static void WriteFile(string path, string header, byte[] data, long? headerLength = null)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        using FileStream stream = File.Create(path);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, headerLength ?? json.Length);
        stream.Write(length);
        stream.Write(json);
        stream.Write(data);
    }

    public static Dictionary<string, Raw> ReadTensors(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int start = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using JsonDocument header = JsonDocument.Parse(file.AsMemory(8..start));
        return header.RootElement.EnumerateObject().Where(p => p.Name != "__metadata__").ToDictionary(p => p.Name, p => new Raw(
            p.Value.GetProperty("dtype").GetString()!,
            [.. p.Value.GetProperty("shape").EnumerateArray().Select(s => s.GetInt64())],
            file[(start + p.Value.GetProperty("data_offsets")[0]
                .GetInt32())..(start + p.Value.GetProperty("data_offsets")[1].GetInt32())]));
    }

    /// <summary>Parameters for a configuration, shaped as in memory: [out, in] throughout.</summary>
    public static List<Parameter> Parameters(ModelConfig config, HostMemory memory, DType type = DType.Float32, bool master = false) =>
        [.. ReferenceConfigs.Parameters(config)
            .Select(p => memory.Add(p.Name, Kind(p.Name, p.Shape), InMemory(config, p.Name, p.Shape), type, master))];

    /// <summary>A tensor's elements as numbers.</summary>
    public static float[] Values(Raw tensor) => tensor.Type switch
    {
        "F32" => [.. MemoryMarshal.Cast<byte, float>(tensor.Data)],
        "F16" => Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(tensor.Data).ToArray(), h => (float)h),
        _ => Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(tensor.Data).ToArray(), b => BitConverter.UInt32BitsToSingle((uint)b << 16)),
    };

    public static void AssertSame(IReadOnlyDictionary<string, Raw> expected, IReadOnlyDictionary<string, Raw> actual)
    {
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, Raw tensor) in expected)
        {
            Assert.Equal(tensor.Type, actual[name].Type);
            Assert.Equal(tensor.Shape, actual[name].Shape);
            Assert.True(tensor.Data.AsSpan().SequenceEqual(actual[name].Data), name);
        }
    }

    private static ParameterKind Kind(string name, Shape shape) => shape.Rows == 1 ? ParameterKind.Vector
        : (name.Contains("embed", StringComparison.Ordinal) && name != "embed_out.weight")
            || name.Contains(".wte", StringComparison.Ordinal)
            || name.Contains(".wpe", StringComparison.Ordinal)
            ? ParameterKind.Embedding : ParameterKind.Matrix;

    private static Shape InMemory(ModelConfig config, string name, Shape file) =>
        config.Family == ModelFamilies.Gpt2 && Kind(name, file) == ParameterKind.Matrix && name != "lm_head.weight"
        ? new Shape(file.Columns, file.Rows)
        : file;

    private static void Set(JsonObject json, string type, params (string Key, int Value)[] fields)
    {
        json["model_type"] = type;
        foreach ((string key, int value) in fields)
        {
            json[key] = value;
        }
    }
}
