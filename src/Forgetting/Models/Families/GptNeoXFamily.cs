using System.Text.Json;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>
/// gpt_neox: LayerNorm, attention and MLP side by side, positions that turn a part of each head, GELU, biases, q, k and v in one layer head
/// by head, and a head of its own name.
/// </summary>
internal sealed class GptNeoXFamily : ModelFamily
{
    /// <inheritdoc/>
    public override string ModelType => "gpt_neox";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = new()
    {
        Embedding = "gpt_neox.embed_in",
        Positions = null,
        Blocks = "gpt_neox.layers",
        FinalNorm = "gpt_neox.final_layer_norm",
        AttentionNorm = "input_layernorm",
        MlpNorm = "post_attention_layernorm",
        FusedQueryKeyValue = "attention.query_key_value",
        AttentionOutput = "attention.dense",
        Up = "mlp.dense_h_to_4h",
        Down = "mlp.dense_4h_to_h",
        Head = "embed_out",
    };

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys { get; } =
    [
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "layer_norm_eps",
        "hidden_act", "rotary_pct", "rotary_emb_base", "partial_rotary_factor", "rope_theta", "rope_scaling", "rope_parameters",
        "use_parallel_residual", "attention_bias",
    ];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "gptneox";

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        !config.QueryKeyValueBias ? ("attention_bias is false", "true")
        : config.TiedHead ? ("tie_word_embeddings is true", "false")
        : null;

    /// <inheritdoc/>
    public override ModelConfig ReadConfig(JsonView json)
    {
        int hidden = json.Int("hidden_size", 1, MaxWidth);
        int heads = json.Int("num_attention_heads", 1, MaxWidth);
        int headSize = HeadSize(json, "hidden_size", hidden, "num_attention_heads", heads);
        int context = json.IntOrNull("max_position_embeddings", 1, MaxContext) ?? 2048;
        bool bias = json.Flag("attention_bias", absent: true);
        (double theta, RopeScaling? scaling) =
            RopeSettings.Read(json, context, json.PositiveOrNull("rotary_emb_base") ?? 10_000, byKind: false);
        if (scaling is LongRopeScaling)
            throw (json.Find("rope_parameters") ?? json["rope_scaling"]).Wrong("of rope_type longrope", "default, linear, dynamic or yarn");

        int? columns = RopeSettings.ReadColumns(json, headSize, partial: true, "rotary_pct", absent: 0.25);
        if (columns is null && headSize % 2 != 0)
            throw json["num_attention_heads"].Wrong($"such that heads have {headSize} columns", "an even number, since RoPE turns pairs");

        return new ModelConfig
        {
            Family = this,
            LayerNorm = true,
            VocabularySize = json.Int("vocab_size", 1, MaxVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.IntOrNull("intermediate_size", 1, MaxWidth) ?? 24_576,
            Layers = json.Int("num_hidden_layers", 1, MaxLayers),
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = headSize,
            ContextLength = context,
            NormEpsilon = json.PositiveOrNull("layer_norm_eps") ?? 1e-5,
            Activation = Gelu(json, "hidden_act", absent: "gelu"),
            RopeTheta = theta,
            RopeScaling = scaling,
            RotaryColumns = columns,
            ParallelBlocks = json.Flag("use_parallel_residual", absent: true),
            QueryKeyValueByHead = true,
            QueryKeyValueBias = bias,
            AttentionOutputBias = bias,
            MlpBias = true,
            TiedHead = json.Flag("tie_word_embeddings"),
            AttentionScale = 1 / Math.Sqrt(headSize),
        };
    }

    /// <inheritdoc/>
    public override void WriteConfig(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, this, "GPTNeoXForCausalLM");
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_hidden_layers", config.Layers);
        json.WriteNumber("num_attention_heads", config.Heads);
        json.WriteNumber("max_position_embeddings", config.ContextLength);
        json.WriteNumber("layer_norm_eps", config.NormEpsilon);
        json.WriteString("hidden_act", GeluName(config));
        json.WriteNumber("rotary_pct", (double)(config.RotaryColumns ?? config.HeadSize) / config.HeadSize);
        json.WriteNumber("rotary_emb_base", config.RopeTheta);
        RopeSettings.Write(json, config);
        json.WriteBoolean("use_parallel_residual", config.ParallelBlocks);
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
    }
}
