using System.Text.Json;
using Forgetting.Models;

namespace Forgetting.HuggingFace;

/// <summary>Reads <c>config.json</c> (and the end tokens of <c>generation_config.json</c>) of every family into a <see cref="ModelConfig"/>.</summary>
public static class ConfigFile
{
    /// <summary>Its name in a model folder.</summary>
    public const string Name = "config.json";

    // Far above any published model; keeps sizes and their products within int and long.
    private const int MostWidth = 1 << 20;
    private const int MostVocabulary = 1 << 24;
    private const int MostLayers = 10_000;

    /// <summary>Reads the configuration of a model folder.</summary>
    /// <exception cref="UserException">Missing, not JSON, an unknown family, a size that is missing or out of range, or a feature that is not supported.</exception>
    public static ModelConfig Read(string folder)
    {
        JsonFields json = JsonFields.Read(Path.Combine(folder, Name));
        if (json.Find("quantization_config") is not null)
            throw new UserException($"{json.Path}: quantization_config is set, expected weights in float32, float16 or bfloat16");

        string? type = json.StringOrNull("model_type");
        ModelConfig config = type switch
        {
            "llama" => ReadLlama(json, ModelFamily.Llama),
            "qwen2" => ReadLlama(json, ModelFamily.Qwen2),
            "gpt2" => ReadGpt2(json),
            "gpt_neo" => ReadGptNeo(json),
            null => throw json.Missing("model_type", "llama, qwen2, gpt2 or gpt_neo"),
            _ => throw json.Bad("model_type", Text.Quote(type), "llama, qwen2, gpt2 or gpt_neo"),
        };
        return WithSpecialTokens(config, json, folder);
    }

    private static ModelConfig ReadLlama(JsonFields json, ModelFamily family)
    {
        int hidden = json.Int("hidden_size", 1, MostWidth);
        int heads = json.Int("num_attention_heads", 1, MostWidth);
        int keyValueHeads = json.IntOrNull("num_key_value_heads", 1, heads) ?? heads;
        if (heads % keyValueHeads != 0)
            throw json.Bad("num_key_value_heads", $"{keyValueHeads}", $"a divisor of num_attention_heads = {heads}");

        int headSize = json.IntOrNull("head_dim", 2, MostWidth) ?? HeadSize(json, "hidden_size", hidden, "num_attention_heads", heads);
        if (headSize % 2 != 0 || (long)headSize * heads > MostWidth)
            throw json.Bad("head_dim", $"{headSize}", "an even number (RoPE turns pairs) with head_dim × heads below 2²⁰");

        string activation = json.StringOrNull("hidden_act") ?? "silu";
        if (activation is not ("silu" or "swish"))
            throw json.Bad("hidden_act", Text.Quote(activation), "silu");

        int layers = json.Int("num_hidden_layers", 1, MostLayers);
        bool attentionBias = json.Bool("attention_bias", false);
        (double theta, RopeScaling? scaling) = ReadRope(json);
        return new ModelConfig
        {
            Family = family,
            VocabularySize = json.Int("vocab_size", 1, MostVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.Int("intermediate_size", 1, MostWidth),
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize,
            ContextLength = json.IntOrNull("max_position_embeddings", 1, int.MaxValue) ?? (family == ModelFamily.Llama ? 2048 : 32768),
            NormEpsilon = json.PositiveOrNull("rms_norm_eps") ?? 1e-6,
            Activation = ActivationKind.SwiGlu,
            RopeTheta = theta,
            RopeScaling = scaling,
            QueryKeyValueBias = family == ModelFamily.Qwen2 || attentionBias,
            AttentionOutputBias = family == ModelFamily.Llama && attentionBias,
            MlpBias = family == ModelFamily.Llama && json.Bool("mlp_bias", false),
            TiedHead = json.Bool("tie_word_embeddings", false),
            AttentionScale = 1 / Math.Sqrt(headSize),
            Windows = family == ModelFamily.Qwen2 ? ReadQwen2Windows(json, layers) : [],
        };
    }

    // Older files have rope_theta beside rope_scaling; newer ones have both in rope_parameters.
    private static (double Theta, RopeScaling? Scaling) ReadRope(JsonFields json)
    {
        JsonFields? parameters = json.ObjectOrNull("rope_parameters");
        JsonFields? scaling = parameters ?? json.ObjectOrNull("rope_scaling");
        double theta = parameters?.PositiveOrNull("rope_theta") ?? json.PositiveOrNull("rope_theta") ?? 10_000;
        foreach (JsonFields fields in new[] { json, scaling }.OfType<JsonFields>())
        {
            if (fields.PositiveOrNull("partial_rotary_factor") is { } part and not 1)
                throw fields.Bad("partial_rotary_factor", $"{part}", "1");
        }

        if (scaling == null)
            return (theta, null);

        string key = scaling.Has("rope_type") ? "rope_type" : "type";
        switch (scaling.StringOrNull(key))
        {
            case "default" or null:
                return (theta, null);
            case "llama3":
                double low = Required(scaling, "low_freq_factor");
                double high = Required(scaling, "high_freq_factor");
                if (high <= low)
                    throw scaling.Bad("high_freq_factor", $"{high}", $"more than low_freq_factor = {low}");

                return (theta, new RopeScaling(
                    Required(scaling, "factor"), low, high, scaling.Int("original_max_position_embeddings", 1, int.MaxValue)));
            case { } other:
                throw scaling.Bad(key, Text.Quote(other), "default or llama3");
        }
    }

    private static double Required(JsonFields json, string key) => json.PositiveOrNull(key) ?? throw json.Missing(key, "a number above 0");

    private static int[] ReadQwen2Windows(JsonFields json, int layers)
    {
        if (!json.Bool("use_sliding_window", false) || json.IntOrNull("sliding_window", 1, int.MaxValue) is not { } window)
            return [];

        if (json.ListOrNull("layer_types") is { } types)
        {
            if (types.Count != layers)
                throw json.Bad("layer_types", $"a list of {types.Count}", $"one entry for each of {layers} layers");

            return [.. types.Select(t => t switch
            {
                { ValueKind: JsonValueKind.String } when t.ValueEquals("full_attention") => 0,
                { ValueKind: JsonValueKind.String } when t.ValueEquals("sliding_attention") => window,
                _ => throw json.Bad("layer_types", t, "full_attention or sliding_attention"),
            })];
        }

        int firstWindowed = json.IntOrNull("max_window_layers", 0, int.MaxValue) ?? 28;
        return [.. Enumerable.Range(0, layers).Select(i => i < firstWindowed ? 0 : window)];
    }

    private static ModelConfig ReadGpt2(JsonFields json)
    {
        RequireAbsent(json, "scale_attn_by_inverse_layer_idx");
        RequireAbsent(json, "add_cross_attention");
        int hidden = json.Int("n_embd", 1, MostWidth);
        int heads = json.Int("n_head", 1, MostWidth);
        int headSize = HeadSize(json, "n_embd", hidden, "n_head", heads);
        return new ModelConfig
        {
            Family = ModelFamily.Gpt2,
            VocabularySize = json.Int("vocab_size", 1, MostVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.IntOrNull("n_inner", 1, MostWidth) ?? 4 * hidden,
            Layers = json.Int("n_layer", 1, MostLayers),
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = headSize,
            ContextLength = json.Int("n_positions", 1, MostVocabulary),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = ReadGelu(json),
            QueryKeyValueBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Bool("tie_word_embeddings", true),
            AttentionScale = json.Bool("scale_attn_weights", true) ? 1 / Math.Sqrt(headSize) : 1,
        };
    }

    private static ModelConfig ReadGptNeo(JsonFields json)
    {
        int hidden = json.Int("hidden_size", 1, MostWidth);
        int heads = json.Int("num_heads", 1, MostWidth);
        int layers = json.Int("num_layers", 1, MostLayers);
        return new ModelConfig
        {
            Family = ModelFamily.GptNeo,
            VocabularySize = json.Int("vocab_size", 1, MostVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.IntOrNull("intermediate_size", 1, MostWidth) ?? 4 * hidden,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = HeadSize(json, "hidden_size", hidden, "num_heads", heads),
            ContextLength = json.Int("max_position_embeddings", 1, MostVocabulary),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = ReadGelu(json),
            QueryKeyValueBias = false,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Bool("tie_word_embeddings", true),
            AttentionScale = 1,
            Windows = ReadGptNeoWindows(json, layers),
        };
    }

    // [[["global", "local"], 12]] means the pair twelve times over; attention_layers, where present, is the same written out.
    private static int[] ReadGptNeoWindows(JsonFields json, int layers)
    {
        const string Expected = "[[[\"global\" or \"local\", …], repetitions], …]";
        int window = json.IntOrNull("window_size", 1, int.MaxValue) ?? 256;
        List<int> windows = [];
        if (json.ListOrNull("attention_types") is { } groups)
        {
            foreach (JsonElement group in groups)
            {
                if (group is not { ValueKind: JsonValueKind.Array } || group.GetArrayLength() != 2 || group[0].ValueKind != JsonValueKind.Array
                    || group[1].ValueKind != JsonValueKind.Number || !group[1].TryGetInt32(out int repetitions) || repetitions is < 0 or > MostLayers)
                    throw json.Bad("attention_types", group, Expected);

                int[] once = [.. group[0].EnumerateArray().Select(kind => WindowOf(json, "attention_types", kind, window))];
                for (int i = 0; i < repetitions && windows.Count <= layers; i++)
                {
                    windows.AddRange(once);
                }
            }
        }
        else if (json.ListOrNull("attention_layers") is { } kinds)
        {
            windows.AddRange(kinds.Select(kind => WindowOf(json, "attention_layers", kind, window)));
        }
        else
        {
            throw json.Missing("attention_types", Expected);
        }

        return windows.Count == layers
            ? [.. windows]
            : throw json.Bad("attention_types", windows.Count > layers ? $"for more than {layers} layers" : $"for {windows.Count} layers", $"num_layers = {layers}");
    }

    private static int WindowOf(JsonFields json, string key, JsonElement kind, int window) => kind switch
    {
        { ValueKind: JsonValueKind.String } when kind.ValueEquals("global") => 0,
        { ValueKind: JsonValueKind.String } when kind.ValueEquals("local") => window,
        _ => throw json.Bad(key, kind, "global or local"),
    };

    private static ActivationKind ReadGelu(JsonFields json)
    {
        string name = json.StringOrNull("activation_function") ?? "gelu_new";
        return name switch
        {
            "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => ActivationKind.GeluTanh,
            "gelu" => ActivationKind.Gelu,
            _ => throw json.Bad("activation_function", Text.Quote(name), "gelu_new, gelu_pytorch_tanh or gelu"),
        };
    }

    private static int HeadSize(JsonFields json, string hiddenKey, int hidden, string headsKey, int heads) => hidden % heads == 0
        ? hidden / heads
        : throw json.Bad(headsKey, $"{heads}", $"a divisor of {hiddenKey} = {hidden}");

    private static void RequireAbsent(JsonFields json, string key)
    {
        if (json.Bool(key, false))
            throw json.Bad(key, "true", "false");
    }

    // The model's own end token comes first: it is the one appended to training text. generation_config.json adds those that end a turn.
    private static ModelConfig WithSpecialTokens(ModelConfig config, JsonFields json, string folder)
    {
        int most = config.VocabularySize - 1;
        List<int> ends = [.. json.Ints("eos_token_id", 0, most)];
        string generationPath = Path.Combine(folder, "generation_config.json");
        if (File.Exists(generationPath))
            ends.AddRange(JsonFields.Read(generationPath).Ints("eos_token_id", 0, most));

        return config with { BosTokenId = json.IntOrNull("bos_token_id", 0, most), EosTokenIds = [.. ends.Distinct()] };
    }
}
