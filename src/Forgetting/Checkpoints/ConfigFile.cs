using System.Text.Json;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;

namespace Forgetting.Checkpoints;

/// <summary>Reads <c>config.json</c> (and the end tokens of <c>generation_config.json</c>) of every family into a <see cref="ModelConfig"/>.</summary>
internal static class ConfigFile
{
    /// <summary>Its name in a model folder.</summary>
    public const string Name = "config.json";

    // Far above any published model; keeps sizes and their products within int and long.
    private const int MostWidth = 1 << 20;
    private const int MostVocabulary = 1 << 24;
    private const int MostLayers = 10_000;
    private const int MostContext = 1 << 21;

    /// <summary>Reads the configuration of a model folder.</summary>
    /// <exception cref="UserException">Missing, not JSON, an unknown family, a size that is missing or out of range, or a feature that is not supported.</exception>
    public static ModelConfig Read(string folder)
    {
        JsonView json = JsonViewFields.LoadObject(Path.Combine(folder, Name));
        if (json.Find("quantization_config") is { } quantization)
            throw quantization.Wrong("set", "weights in float32, float16 or bfloat16");

        JsonView type = json["model_type"];
        ModelConfig config = type.AsString() switch
        {
            "llama" => ReadLlama(json, ModelFamily.Llama),
            "qwen2" => ReadLlama(json, ModelFamily.Qwen2),
            "gpt2" => ReadGpt2(json),
            "gpt_neo" => ReadGptNeo(json),
            _ => throw type.Wrong(type.Describe(), "llama, qwen2, gpt2 or gpt_neo"),
        };
        ConfigKeys.Check(json, config.Family);
        return WithSpecialTokens(config, json, folder);
    }

    private static ModelConfig ReadLlama(JsonView json, ModelFamily family)
    {
        int hidden = json.Int("hidden_size", 1, MostWidth);
        int heads = json.Int("num_attention_heads", 1, MostWidth);
        int keyValueHeads = json.IntOrNull("num_key_value_heads", 1, heads) ?? heads;
        if (heads % keyValueHeads != 0)
            throw json["num_key_value_heads"].Wrong($"{keyValueHeads}", $"a divisor of num_attention_heads, which is {heads}");

        int headSize = json.IntOrNull("head_dim", 1, MostWidth / heads) ?? HeadSize(json, "hidden_size", hidden, "num_attention_heads", heads);
        if (headSize % 2 != 0)
            throw json[json.Has("head_dim") ? "head_dim" : "num_attention_heads"].Wrong($"such that heads have {headSize} columns", "an even number, since RoPE turns pairs");

        string activation = json.Find("hidden_act")?.AsString() ?? "silu";
        if (activation is not ("silu" or "swish"))
            throw json["hidden_act"].Wrong(json["hidden_act"].Describe(), "silu");

        int layers = json.Int("num_hidden_layers", 1, MostLayers);
        bool attentionBias = json.Flag("attention_bias");
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
            ContextLength = json.IntOrNull("max_position_embeddings", 1, MostContext) ?? (family == ModelFamily.Llama ? 2048 : 32768),
            NormEpsilon = json.PositiveOrNull("rms_norm_eps") ?? 1e-6,
            Activation = ActivationKind.SwiGlu,
            RopeTheta = theta,
            RopeScaling = scaling,
            QueryKeyValueBias = family == ModelFamily.Qwen2 || attentionBias,
            AttentionOutputBias = family == ModelFamily.Llama && attentionBias,
            MlpBias = family == ModelFamily.Llama && json.Flag("mlp_bias"),
            TiedHead = json.Flag("tie_word_embeddings"),
            AttentionScale = 1 / Math.Sqrt(headSize),
            Windows = family == ModelFamily.Qwen2 ? ReadQwen2Windows(json, layers) : [],
        };
    }

    // Older files have rope_theta beside rope_scaling, newer ones have both in rope_parameters, and transformers reads the newer spelling under the older name too.
    private static (double Theta, RopeScaling? Scaling) ReadRope(JsonView json)
    {
        JsonView? newer = json.ObjectOrNull("rope_parameters"), older = json.ObjectOrNull("rope_scaling");
        if (newer is { } one && older is { } two && !JsonElement.DeepEquals(one.Element, two.Element))
            throw two.Wrong("other than rope_parameters", "one of the two, or the same in both");

        JsonView? described = newer ?? older;
        double theta = described?.PositiveOrNull("rope_theta") ?? json.PositiveOrNull("rope_theta") ?? 10_000;
        foreach (JsonView fields in new[] { json, described ?? json })
        {
            if (fields.PositiveOrNull("partial_rotary_factor") is { } part and not 1)
                throw fields["partial_rotary_factor"].Wrong($"{part}", "1");
        }

        if (described is not { } scaling)
            return (theta, null);

        ConfigKeys.CheckRope(scaling);
        if ((scaling.Find("rope_type") ?? scaling.Find("type")) is not { } type)
            return scaling.Has("factor") ? throw scaling.Wrong("without rope_type", "rope_type default or llama3") : (theta, null);

        switch (type.AsString())
        {
            case "default":
                return (theta, null);
            case "llama3":
                double low = scaling["low_freq_factor"].AsPositive();
                double high = scaling["high_freq_factor"].AsPositive();
                if (high <= low)
                    throw scaling["high_freq_factor"].Wrong($"{high}", $"more than low_freq_factor, which is {low}");

                return (theta, new RopeScaling(
                    scaling["factor"].AsPositive(), low, high, scaling.Int("original_max_position_embeddings", 1, int.MaxValue)));
            default:
                throw type.Wrong(type.Describe(), "default or llama3");
        }
    }

    private static int[] ReadQwen2Windows(JsonView json, int layers)
    {
        if (!json.Flag("use_sliding_window") || json.IntOrNull("sliding_window", 1, int.MaxValue) is not { } window)
            return [];

        if (json.Find("layer_types") is not { } types)
        {
            int firstWindowed = json.IntOrNull("max_window_layers", 0, int.MaxValue) ?? 28;
            return [.. Enumerable.Range(0, layers).Select(i => i < firstWindowed ? 0 : window)];
        }

        int[] windows = [.. types.Items().Select(kind => WindowOf(kind, "full_attention", "sliding_attention", window))];
        return windows.Length == layers
            ? windows
            : throw types.Wrong($"a list of {windows.Length}", $"one entry for each of {layers} layers");
    }

    private static ModelConfig ReadGpt2(JsonView json)
    {
        RequireFalse(json, "scale_attn_by_inverse_layer_idx");
        RequireFalse(json, "add_cross_attention");
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
            ContextLength = json.Int("n_positions", 1, MostContext),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = ReadGelu(json),
            QueryKeyValueBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Flag("tie_word_embeddings", absent: true),
            AttentionScale = json.Flag("scale_attn_weights", absent: true) ? 1 / Math.Sqrt(headSize) : 1,
        };
    }

    private static ModelConfig ReadGptNeo(JsonView json)
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
            ContextLength = json.Int("max_position_embeddings", 1, MostContext),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = ReadGelu(json),
            QueryKeyValueBias = false,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Flag("tie_word_embeddings", absent: true),
            AttentionScale = 1,
            Windows = ReadGptNeoWindows(json, layers),
        };
    }

    // [[["global", "local"], 12]] means the pair twelve times over; attention_layers, where present, is the same written out.
    private static int[] ReadGptNeoWindows(JsonView json, int layers)
    {
        int window = json.IntOrNull("window_size", 1, int.MaxValue) ?? 256;
        JsonView kinds = json.Find("attention_types") ?? json["attention_layers"];
        List<int> windows = [];
        if (json.Has("attention_types"))
        {
            foreach (JsonView group in kinds.Items())
            {
                JsonView[] pair = [.. group.Items()];
                if (pair.Length != 2)
                    throw group.Wrong(group.Describe(), "[[\"global\" or \"local\", …], repetitions]");

                int[] once = [.. pair[0].Items().Select(kind => WindowOf(kind, "global", "local", window))];
                for (int i = pair[1].AsInt32(); i > 0 && once.Length > 0 && windows.Count <= layers; i--)
                {
                    windows.AddRange(once);
                }
            }
        }
        else
        {
            windows.AddRange(kinds.Items().Select(kind => WindowOf(kind, "global", "local", window)));
        }

        return windows.Count == layers
            ? [.. windows]
            : throw kinds.Wrong($"for {(windows.Count > layers ? "more" : windows.Count)} layers", $"num_layers, which is {layers}");
    }

    private static int WindowOf(JsonView kind, string full, string windowed, int window)
    {
        string name = kind.AsString();
        return name == full ? 0 : name == windowed ? window : throw kind.Wrong(kind.Describe(), $"{full} or {windowed}");
    }

    private static ActivationKind ReadGelu(JsonView json) => (json.Find("activation_function")?.AsString() ?? "gelu_new") switch
    {
        "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => ActivationKind.GeluTanh,
        "gelu" => ActivationKind.Gelu,
        _ => throw json["activation_function"].Wrong(json["activation_function"].Describe(), "gelu_new, gelu_pytorch_tanh or gelu"),
    };

    private static int HeadSize(JsonView json, string hiddenKey, int hidden, string headsKey, int heads) => hidden % heads == 0
        ? hidden / heads
        : throw json[headsKey].Wrong($"{heads}", $"a divisor of {hiddenKey}, which is {hidden}");

    private static void RequireFalse(JsonView json, string key)
    {
        if (json.Flag(key))
            throw json[key].Wrong("true", "false: this is not supported");
    }

    // The model's own end token comes first: it is the one appended to training text. generation_config.json adds those that end a turn.
    private static ModelConfig WithSpecialTokens(ModelConfig config, JsonView json, string folder)
    {
        int most = config.VocabularySize - 1;
        List<int> ends = [.. json.Ints("eos_token_id", 0, most)];
        string generation = Path.Combine(folder, "generation_config.json");
        if (File.Exists(generation))
            ends.AddRange(JsonViewFields.LoadObject(generation).Ints("eos_token_id", 0, most));

        return config with { BosTokenId = json.IntOrNull("bos_token_id", 0, most), EosTokenIds = [.. ends.Distinct()] };
    }
}
