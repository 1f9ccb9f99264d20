using System.Text.Json.Nodes;
using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Testing.Reference;

/// <summary>
/// What <c>config.json</c> says, once more and apart from the library under test: keys and defaults as the configuration classes of the
/// transformers library have them. Reads only what these classes accept; it refuses nothing.
/// </summary>
internal static class ReferenceConfigReader
{
    private sealed record Defaults(
        double Epsilon, int Context, double Theta = 10_000, bool Tied = false, int? Head = null, int? Window = null, bool Gemma = false);

    private static readonly Dictionary<string, Defaults> s_defaults = new()
    {
        ["llama"] = new(1e-6, 2048),
        ["mistral"] = new(1e-6, 131_072, Window: 4096),
        ["qwen2"] = new(1e-6, 32_768, Window: 4096),
        ["qwen3"] = new(1e-6, 32_768, Head: 128, Window: 4096),
        ["gemma"] = new(1e-6, 8192, Tied: true, Head: 256, Gemma: true),
        ["gemma2"] = new(1e-6, 8192, Tied: true, Head: 256, Window: 4096, Gemma: true),
        ["gemma3_text"] = new(1e-6, 131_072, 1e6, Tied: true, Head: 256, Window: 4096, Gemma: true),
        ["phi3"] = new(1e-5, 4096),
        ["olmo2"] = new(1e-5, 2048),
        ["granite"] = new(1e-6, 2048),
        ["smollm3"] = new(1e-6, 32_768, 2e6, Tied: true),
    };

    /// <summary>Everything but the special tokens.</summary>
    public static ModelConfig Read(JsonObject json)
    {
        string type = Text(json, "model_type", "");
        ModelFamily family = ModelFamilies.All.Single(f => f.ModelType == type);
        return type switch
        {
            "gpt2" => Gpt2(json, family),
            "gpt_neo" => GptNeo(json, family),
            "gpt_neox" => GptNeoX(json, family),
            _ => LlamaLike(json, family, type, s_defaults[type]),
        };
    }

    private static ModelConfig LlamaLike(JsonObject json, ModelFamily family, string type, Defaults defaults)
    {
        int hidden = Int(json, "hidden_size")!.Value, heads = Int(json, "num_attention_heads")!.Value;
        int layers = Int(json, "num_hidden_layers")!.Value, context = Int(json, "max_position_embeddings") ?? defaults.Context;
        int head = Int(json, "head_dim") ?? defaults.Head ?? hidden / heads;
        bool attentionBias = Flag(json, "attention_bias", false);
        bool ownBias = type is "llama" or "gemma" or "gemma2" or "gemma3_text" or "qwen3" or "olmo2" or "granite" or "smollm3";
        JsonObject? rope = (JsonObject?)json["rope_parameters"] ?? (JsonObject?)json["rope_scaling"];
        JsonObject? local = (JsonObject?)rope?["sliding_attention"];
        rope = (JsonObject?)rope?["full_attention"] ?? rope;
        bool three = type == "gemma3_text";
        RopeScaling? scaling = Scaling(json, rope, context);
        int columns = (int)(head * (type == "phi3" ? Number(json, "partial_rotary_factor") ?? 1 : 1));
        return new ModelConfig
        {
            Family = family,
            VocabularySize = Int(json, "vocab_size")!.Value,
            HiddenSize = hidden,
            IntermediateSize = Int(json, "intermediate_size")!.Value,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = Int(json, "num_key_value_heads") ?? heads,
            HeadSize = head,
            ContextLength = context,
            NormEpsilon = Number(json, "rms_norm_eps") ?? defaults.Epsilon,
            GainOffset = defaults.Gemma ? 1 : 0,
            NormPlace = type is "gemma2" or "gemma3_text" ? NormPlace.Both : type == "olmo2" ? NormPlace.After : NormPlace.Before,
            QueryKeyNorm = type == "olmo2" ? QueryKeyNorm.Projection : type == "qwen3" || three ? QueryKeyNorm.Head : QueryKeyNorm.None,
            EmbeddingScale = defaults.Gemma ? Math.Sqrt(hidden) : Number(json, "embedding_multiplier") ?? 1,
            ResidualScale = Number(json, "residual_multiplier") ?? 1,
            LogitScale = 1 / (Number(json, "logits_scaling") ?? 1),
            LogitCap = Cap(json, "final_logit_softcapping", type == "gemma2" ? 30 : 0),
            ScoreCap = Cap(json, "attn_logit_softcapping", type == "gemma2" ? 50 : 0),
            Activation = defaults.Gemma ? ActivationKind.GeGluTanh : ActivationKind.SwiGlu,
            RopeTheta = Number(rope, "rope_theta") ?? Number(json, "rope_theta") ?? defaults.Theta,
            RopeScaling = scaling,
            RotaryColumns = columns == head ? null : columns,
            WindowRopeTheta = three ? Number(local, "rope_theta") ?? Number(json, "rope_local_base_freq") ?? 10_000 : null,
            RotaryLayers = type == "smollm3" ? Turned(json, layers) : [],
            QueryKeyValueBias = type == "qwen2" || (ownBias && attentionBias),
            AttentionOutputBias = ownBias && attentionBias,
            MlpBias = type is "llama" or "granite" or "smollm3" && Flag(json, "mlp_bias", false),
            TiedHead = Flag(json, "tie_word_embeddings", defaults.Tied),
            AttentionScale = type switch
            {
                "gemma2" or "gemma3_text" => 1 / Math.Sqrt(Number(json, "query_pre_attn_scalar") ?? 256),
                "granite" => Number(json, "attention_multiplier") ?? 1,
                _ => 1 / Math.Sqrt(head),
            },
            Windows = Windows(json, type, layers, defaults),
        };
    }

    private static int[] Windows(JsonObject json, string type, int layers, Defaults defaults)
    {
        bool switched = type is "qwen2" or "qwen3" or "smollm3";
        int? window = json.ContainsKey("sliding_window") ? Int(json, "sliding_window") : defaults.Window;
        if (window is null || type is "llama" or "gemma" or "olmo2" or "granite" || (switched && !Flag(json, "use_sliding_window", false)))
            return [];

        int pattern = Int(json, "sliding_window_pattern") ?? Int(json, "_sliding_window_pattern") ?? 6;
        bool[] turned = type == "smollm3" ? Turned(json, layers) : [];
        JsonArray? types = switched || type.StartsWith("gemma", StringComparison.Ordinal) ? (JsonArray?)json["layer_types"] : null;
        int[] windows = [.. Enumerable.Range(0, layers).Select(i => Windowed(i) ? window.Value : 0)];
        return windows.All(w => w == 0) ? [] : windows;

        bool Windowed(int i) => types is not null ? (string)types[i]! == "sliding_attention" : type switch
        {
            "gemma2" => (i + 1) % 2 != 0,
            "gemma3_text" => (i + 1) % pattern != 0,
            "smollm3" => !turned[i],
            "qwen2" or "qwen3" => i >= (Int(json, "max_window_layers") ?? 28),
            _ => true,
        };
    }

    private static bool[] Turned(JsonObject json, int layers) => json["no_rope_layers"] is JsonArray list
        ? [.. list.Select(item => (int)item! == 1)]
        : [.. Enumerable.Range(1, layers).Select(i => i % (Int(json, "no_rope_layer_interval") ?? 4) != 0)];

    private static RopeScaling? Scaling(JsonObject json, JsonObject? rope, int context)
    {
        if (rope is null)
            return null;

        double factor = Number(rope, "factor") ?? 1;
        int? original = Int(rope, "original_max_position_embeddings");
        switch (Text(rope, "rope_type", Text(rope, "type", "default")))
        {
            case "linear":
                return new LinearRopeScaling(factor);
            case "dynamic":
                return new DynamicRopeScaling(factor);
            case "llama3":
                return new Llama3RopeScaling(
                    factor, Number(rope, "low_freq_factor")!.Value, Number(rope, "high_freq_factor")!.Value, original!.Value);
            case "yarn":
                return new YarnRopeScaling(
                    factor, Number(rope, "beta_fast") ?? 32, Number(rope, "beta_slow") ?? 1, original ?? context,
                    Number(rope, "attention_factor") ?? (0.1 * Math.Log(factor)) + 1, true);
            case "longrope" or "su":
                original ??= Int(json, "original_max_position_embeddings");
                double grown = original is { } first ? (double)context / first : factor;
                double attention = Number(rope, "attention_factor")
                    ?? (grown <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(grown) / Math.Log(original ?? context))));
                return new LongRopeScaling(
                    Numbers(rope, "short_factor"), Numbers(rope, "long_factor"), original ?? context, context, attention);
            default:
                return null;
        }
    }

    private static ModelConfig Gpt2(JsonObject json, ModelFamily family)
    {
        int hidden = Int(json, "n_embd")!.Value, heads = Int(json, "n_head")!.Value;
        return Gpt(family, hidden, heads, Int(json, "n_layer")!.Value, Int(json, "n_inner") ?? 4 * hidden, json) with
        {
            LearnedPositions = true,
            ContextLength = Int(json, "n_positions")!.Value,
            NormEpsilon = Number(json, "layer_norm_epsilon") ?? 1e-5,
            Activation = Gelu(Text(json, "activation_function", "gelu_new")),
            TiedHead = Flag(json, "tie_word_embeddings", true),
        };
    }

    private static ModelConfig GptNeo(JsonObject json, ModelFamily family)
    {
        int hidden = Int(json, "hidden_size")!.Value, layers = Int(json, "num_layers")!.Value;
        string[] kinds = [.. ((JsonArray)json["attention_types"]!).SelectMany(
            group => Enumerable.Repeat(((JsonArray)group![0]!).Select(kind => (string)kind!), (int)group[1]!).SelectMany(kind => kind))];
        return Gpt(family, hidden, Int(json, "num_heads")!.Value, layers, Int(json, "intermediate_size") ?? 4 * hidden, json) with
        {
            LearnedPositions = true,
            ContextLength = Int(json, "max_position_embeddings")!.Value,
            NormEpsilon = Number(json, "layer_norm_epsilon") ?? 1e-5,
            Activation = Gelu(Text(json, "activation_function", "gelu_new")),
            TiedHead = Flag(json, "tie_word_embeddings", true),
            QueryKeyValueBias = false,
            AttentionScale = 1,
            Windows = [.. kinds.Select(kind => kind == "local" ? Int(json, "window_size") ?? 256 : 0)],
        };
    }

    private static ModelConfig GptNeoX(JsonObject json, ModelFamily family)
    {
        int hidden = Int(json, "hidden_size")!.Value, heads = Int(json, "num_attention_heads")!.Value, head = hidden / heads;
        int inner = Int(json, "intermediate_size") ?? 24_576, layers = Int(json, "num_hidden_layers")!.Value;
        bool bias = Flag(json, "attention_bias", true);
        int columns = (int)(head * (Number(json, "rotary_pct") ?? Number(json, "partial_rotary_factor") ?? 0.25));
        return Gpt(family, hidden, heads, layers, inner, json) with
        {
            ContextLength = Int(json, "max_position_embeddings") ?? 2048,
            NormEpsilon = Number(json, "layer_norm_eps") ?? 1e-5,
            Activation = Gelu(Text(json, "hidden_act", "gelu")),
            RopeTheta = Number(json, "rotary_emb_base") ?? Number(json, "rope_theta") ?? 10_000,
            RotaryColumns = columns == head ? null : columns,
            ParallelBlocks = Flag(json, "use_parallel_residual", true),
            QueryKeyValueByHead = true,
            QueryKeyValueBias = bias,
            AttentionOutputBias = bias,
            TiedHead = Flag(json, "tie_word_embeddings", false),
        };
    }

    private static ModelConfig Gpt(ModelFamily family, int hidden, int heads, int layers, int inner, JsonObject json) => new()
    {
        Family = family,
        LayerNorm = true,
        VocabularySize = Int(json, "vocab_size")!.Value,
        HiddenSize = hidden,
        IntermediateSize = inner,
        Layers = layers,
        Heads = heads,
        KeyValueHeads = heads,
        HeadSize = hidden / heads,
        ContextLength = 0,
        QueryKeyValueBias = true,
        AttentionOutputBias = true,
        MlpBias = true,
        AttentionScale = 1 / Math.Sqrt(hidden / heads),
    };

    private static ActivationKind Gelu(string name) => name == "gelu" ? ActivationKind.Gelu : ActivationKind.GeluTanh;

    // Null says that there is none.
    private static double Cap(JsonObject json, string key, double absent) =>
        json.ContainsKey(key) ? Number(json, key) ?? 0 : absent;

    private static int? Int(JsonObject json, string key) => (int?)Number(json, key);

    private static double? Number(JsonObject? json, string key) => (double?)json?[key];

    private static double[] Numbers(JsonObject json, string key) => [.. ((JsonArray)json[key]!).Select(item => (double)item!)];

    private static bool Flag(JsonObject json, string key, bool absent) => (bool?)json[key] ?? absent;

    private static string Text(JsonObject json, string key, string absent) => (string?)json[key] ?? absent;
}
