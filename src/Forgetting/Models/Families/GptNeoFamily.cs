using System.Text.Json;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>gpt_neo: gpt2 with separate q, k and v without biases, unscaled scores, and local attention in every other layer.</summary>
internal sealed class GptNeoFamily : ModelFamily
{
    /// <inheritdoc/>
    public override string ModelType => "gpt_neo";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = new()
    {
        Embedding = "transformer.wte",
        Positions = "transformer.wpe",
        Blocks = "transformer.h",
        FinalNorm = "transformer.ln_f",
        AttentionNorm = "ln_1",
        MlpNorm = "ln_2",
        Query = "attn.attention.q_proj",
        Key = "attn.attention.k_proj",
        Value = "attn.attention.v_proj",
        AttentionOutput = "attn.attention.out_proj",
        Up = "mlp.c_fc",
        Down = "mlp.c_proj",
    };

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys { get; } =
    [
        "hidden_size", "intermediate_size", "num_layers", "num_heads", "max_position_embeddings", "layer_norm_epsilon",
        "activation_function", "attention_types", "attention_layers", "window_size",
    ];

    /// <inheritdoc/>
    public override ModelConfig ReadConfig(JsonView json)
    {
        int hidden = json.Int("hidden_size", 1, MaxWidth);
        int heads = json.Int("num_heads", 1, MaxWidth);
        int layers = json.Int("num_layers", 1, MaxLayers);
        return new ModelConfig
        {
            Family = this,
            LayerNorm = true,
            LearnedPositions = true,
            VocabularySize = json.Int("vocab_size", 1, MaxVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.IntOrNull("intermediate_size", 1, MaxWidth) ?? 4 * hidden,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = HeadSize(json, "hidden_size", hidden, "num_heads", heads),
            ContextLength = json.Int("max_position_embeddings", 1, MaxContext),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = Gelu(json),
            QueryKeyValueBias = false,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Flag("tie_word_embeddings", absent: true),
            AttentionScale = 1,
            Windows = ReadWindows(json, layers),
        };
    }

    // [[["global", "local"], 12]] means the pair twelve times over; attention_layers, where present, is the same written out.
    private static int[] ReadWindows(JsonView json, int layers)
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

    /// <inheritdoc/>
    public override void WriteConfig(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, this, "GPTNeoForCausalLM");
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
}
