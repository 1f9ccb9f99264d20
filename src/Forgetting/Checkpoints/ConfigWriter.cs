using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints;

/// <summary>Writes <c>config.json</c> for a model that has none yet, in the spelling that every version of Hugging Face's library reads.</summary>
internal static class ConfigWriter
{
    /// <summary>Writes the file into a folder.</summary>
    /// <param name="type">Type of the weights, for <c>torch_dtype</c>.</param>
    public static void Write(string folder, ModelConfig config, StoredType type)
    {
        using FileStream stream = File.Create(Path.Combine(folder, ConfigFile.Name));
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        switch (config.Family)
        {
            case ModelFamily.Gpt2:
                WriteGpt2(json, config);
                break;
            case ModelFamily.GptNeo:
                WriteGptNeo(json, config);
                break;
            default:
                WriteLlama(json, config);
                break;
        }

        json.WriteNumber("vocab_size", config.VocabularySize);
        json.WriteBoolean("tie_word_embeddings", config.TiedHead);
        WriteOptional(json, "bos_token_id", config.BosTokenId);
        WriteEnds(json, config.EosTokenIds);
        json.WriteString("torch_dtype", NameOf(type));
        json.WriteEndObject();
    }

    /// <summary>Changes what a written configuration says where the weights beside it are no longer as the source had them.</summary>
    /// <param name="type">Other type of the weights, or null.</param>
    /// <param name="untied">The head is no longer the embedding.</param>
    internal static void Amend(string folder, StoredType? type, bool untied)
    {
        if (type is null && !untied)
            return;

        string path = Path.Combine(folder, ConfigFile.Name);
        JsonObject json = JsonNode.Parse(InputFile.ReadTextBytes(path, "JSON").Span)!.AsObject();
        if (type is { } stored)
        {
            // Newer files spell it dtype, and some have both.
            if (json.ContainsKey("dtype"))
                json["dtype"] = NameOf(stored);

            if (json.ContainsKey("torch_dtype") || !json.ContainsKey("dtype"))
                json["torch_dtype"] = NameOf(stored);
        }

        if (untied)
            json["tie_word_embeddings"] = false;

        File.WriteAllText(path, json.ToJsonString(new JsonSerializerOptions { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
    }

    private static string NameOf(StoredType type) => type switch
    {
        StoredType.F16 => "float16",
        StoredType.BF16 => "bfloat16",
        _ => "float32",
    };

    private static void WriteLlama(Utf8JsonWriter json, ModelConfig config)
    {
        bool qwen = config.Family == ModelFamily.Qwen2;
        WriteType(json, qwen ? "qwen2" : "llama", qwen ? "Qwen2ForCausalLM" : "LlamaForCausalLM");
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_hidden_layers", config.Layers);
        json.WriteNumber("num_attention_heads", config.Heads);
        json.WriteNumber("num_key_value_heads", config.KeyValueHeads);
        json.WriteNumber("head_dim", config.HeadSize);
        json.WriteString("hidden_act", "silu");
        json.WriteNumber("max_position_embeddings", config.ContextLength);
        json.WriteNumber("rms_norm_eps", config.NormEpsilon);
        json.WriteNumber("rope_theta", config.RopeTheta);
        if (config.RopeScaling is { } scaling)
        {
            json.WriteStartObject("rope_scaling");
            json.WriteString("rope_type", "llama3");
            json.WriteNumber("factor", scaling.Factor);
            json.WriteNumber("low_freq_factor", scaling.LowFrequencyFactor);
            json.WriteNumber("high_freq_factor", scaling.HighFrequencyFactor);
            json.WriteNumber("original_max_position_embeddings", scaling.OriginalContext);
            json.WriteEndObject();

            // llama.cpp's converter looks for it here.
            json.WriteNumber("original_max_position_embeddings", scaling.OriginalContext);
        }

        if (qwen)
            WriteQwen2Windows(json, config);
        else
            WriteLlamaBiases(json, config);
    }

    private static void WriteLlamaBiases(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
        json.WriteBoolean("mlp_bias", config.MlpBias);
    }

    private static void WriteQwen2Windows(Utf8JsonWriter json, ModelConfig config)
    {
        int window = config.Windows.FirstOrDefault(w => w > 0);
        json.WriteBoolean("use_sliding_window", window > 0);
        if (window == 0)
            return;

        json.WriteNumber("sliding_window", window);
        json.WriteNumber("max_window_layers", config.Windows.TakeWhile(w => w == 0).Count());
        json.WriteStartArray("layer_types");
        foreach (int layerWindow in config.Windows)
        {
            json.WriteStringValue(layerWindow == 0 ? "full_attention" : "sliding_attention");
        }

        json.WriteEndArray();
    }

    private static void WriteGpt2(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, "gpt2", "GPT2LMHeadModel");
        json.WriteNumber("n_embd", config.HiddenSize);
        json.WriteNumber("n_inner", config.IntermediateSize);
        json.WriteNumber("n_layer", config.Layers);
        json.WriteNumber("n_head", config.Heads);
        json.WriteNumber("n_positions", config.ContextLength);

        // Of no use to transformers any more; llama.cpp's converter asks for it.
        json.WriteNumber("n_ctx", config.ContextLength);
        WriteGelu(json, config);
        json.WriteBoolean("scale_attn_weights", config.AttentionScale != 1);
    }

    private static void WriteGptNeo(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, "gpt_neo", "GPTNeoForCausalLM");
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_layers", config.Layers);
        json.WriteNumber("num_heads", config.Heads);
        json.WriteNumber("max_position_embeddings", config.ContextLength);
        WriteGelu(json, config);
        json.WriteNumber("window_size", config.Windows.FirstOrDefault(w => w > 0, 256));
        json.WriteStartArray("attention_types");
        foreach (string kind in Enumerable.Range(0, config.Layers).Select(i => config.WindowOf(i) == 0 ? "global" : "local"))
        {
            json.WriteStartArray();
            json.WriteStartArray();
            json.WriteStringValue(kind);
            json.WriteEndArray();
            json.WriteNumberValue(1);
            json.WriteEndArray();
        }

        json.WriteEndArray();
    }

    private static void WriteGelu(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteString("activation_function", config.Activation == ActivationKind.Gelu ? "gelu" : "gelu_new");
        json.WriteNumber("layer_norm_epsilon", config.NormEpsilon);
    }

    private static void WriteType(Utf8JsonWriter json, string type, string architecture)
    {
        json.WriteString("model_type", type);
        json.WriteStartArray("architectures");
        json.WriteStringValue(architecture);
        json.WriteEndArray();
    }

    private static void WriteOptional(Utf8JsonWriter json, string key, int? value)
    {
        if (value is { } number)
            json.WriteNumber(key, number);
        else
            json.WriteNull(key);
    }

    private static void WriteEnds(Utf8JsonWriter json, IReadOnlyList<int> ends)
    {
        if (ends.Count <= 1)
        {
            WriteOptional(json, "eos_token_id", ends.Count == 1 ? ends[0] : null);
            return;
        }

        json.WriteStartArray("eos_token_id");
        foreach (int end in ends)
        {
            json.WriteNumberValue(end);
        }

        json.WriteEndArray();
    }
}
