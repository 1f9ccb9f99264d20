using System.Text.Json;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>
/// llama: RMSNorm before, RoPE, grouped-query attention, SwiGLU, no biases unless they are asked for. Others differ from it in little.
/// </summary>
internal class LlamaFamily : ModelFamily
{
    /// <summary>Names that families which differ in norms alone have too.</summary>
    protected static readonly ModuleNames LlamaNames = new()
    {
        Embedding = "model.embed_tokens",
        Positions = null,
        Blocks = "model.layers",
        FinalNorm = "model.norm",
        AttentionNorm = "input_layernorm",
        MlpNorm = "post_attention_layernorm",
        Query = "self_attn.q_proj",
        Key = "self_attn.k_proj",
        Value = "self_attn.v_proj",
        AttentionOutput = "self_attn.o_proj",
        Gate = "mlp.gate_proj",
        Up = "mlp.up_proj",
        Down = "mlp.down_proj",
    };

    /// <inheritdoc/>
    public override string ModelType => "llama";

    /// <inheritdoc/>
    public override ModuleNames Names => LlamaNames;

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys { get; } =
    [
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act",
        "max_position_embeddings", "rms_norm_eps", "attention_bias", "mlp_bias", "rope_theta", "rope_scaling", "rope_parameters",
        "partial_rotary_factor",

        // Its own code does not look at these, Qwen2's does.
        "use_sliding_window", "sliding_window", "max_window_layers", "layer_types",
    ];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "llama";

    /// <inheritdoc/>
    public override bool GgufPairsRows => true;

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => true;

    /// <summary>Name of the class in Hugging Face's library.</summary>
    protected virtual string Architecture => "LlamaForCausalLM";

    /// <summary>Positions where the file does not say.</summary>
    protected virtual int DefaultContext => 2048;

    /// <summary>ε of the norms where the file does not say.</summary>
    protected virtual double DefaultEpsilon => 1e-6;

    /// <summary>θ where the file does not say.</summary>
    protected virtual double DefaultTheta => 10_000;

    /// <summary>Whether RoPE may turn a part of each head.</summary>
    protected virtual bool PartialRotary => false;

    /// <summary>Whether layers with a window may have rotary positions of their own.</summary>
    protected virtual bool RopeByKind => false;

    /// <summary>Whether the head is the embedding where the file does not say.</summary>
    protected virtual bool DefaultTied => false;

    /// <summary>Columns of a head where the file does not say; null for those of an even share of the width.</summary>
    protected virtual int? DefaultHeadSize => null;

    /// <inheritdoc/>
    public sealed override ModelConfig ReadConfig(JsonView json)
    {
        int hidden = json.Int("hidden_size", 1, MaxWidth);
        int heads = json.Int("num_attention_heads", 1, MaxWidth);
        int keyValueHeads = json.IntOrNull("num_key_value_heads", 1, heads) ?? heads;
        if (heads % keyValueHeads != 0)
            throw json["num_key_value_heads"].Wrong($"{keyValueHeads}", $"a divisor of num_attention_heads, which is {heads}");

        int headSize = json.IntOrNull("head_dim", 1, MaxWidth / heads) ?? DefaultHeadSize
            ?? HeadSize(json, "hidden_size", hidden, "num_attention_heads", heads);
        if (headSize % 2 != 0)
        {
            throw json[json.Has("head_dim") ? "head_dim" : "num_attention_heads"].Wrong(
                $"such that heads have {headSize} columns", "an even number, since RoPE turns pairs");
        }

        int layers = json.Int("num_hidden_layers", 1, MaxLayers);
        bool attentionBias = json.Flag("attention_bias");
        int context = json.IntOrNull("max_position_embeddings", 1, MaxContext) ?? DefaultContext;
        (double theta, RopeScaling? scaling) = RopeSettings.Read(json, context, DefaultTheta, RopeByKind);
        int? columns = RopeSettings.ReadColumns(json, headSize, PartialRotary);
        if (scaling is LongRopeScaling lengthened)
            RopeSettings.RequireFactors(json, lengthened, columns ?? headSize);

        return ReadOwn(json, new ModelConfig
        {
            Family = this,
            VocabularySize = json.Int("vocab_size", 1, MaxVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.Int("intermediate_size", 1, MaxWidth),
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize,
            ContextLength = context,
            NormEpsilon = json.PositiveOrNull("rms_norm_eps") ?? DefaultEpsilon,
            Activation = ReadActivation(json),
            RopeTheta = theta,
            RopeScaling = scaling,
            RotaryColumns = columns,
            QueryKeyValueBias = QueryKeyValueBias(attentionBias),
            AttentionOutputBias = OutputBias(attentionBias),
            MlpBias = MlpBias(json),
            TiedHead = json.Flag("tie_word_embeddings", absent: DefaultTied),
            AttentionScale = 1 / Math.Sqrt(headSize),
            Windows = ReadWindows(json, layers),
        });
    }

    /// <inheritdoc/>
    public sealed override void WriteConfig(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, this, Architecture);
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("num_hidden_layers", config.Layers);
        json.WriteNumber("num_attention_heads", config.Heads);
        json.WriteNumber("num_key_value_heads", config.KeyValueHeads);
        json.WriteNumber("head_dim", config.HeadSize);
        json.WriteString("hidden_act", HiddenAct);
        json.WriteNumber("max_position_embeddings", config.ContextLength);
        json.WriteNumber("rms_norm_eps", config.NormEpsilon);
        RopeSettings.Write(json, config);
        if (config.RotaryColumns is { } columns)
            json.WriteNumber("partial_rotary_factor", (double)columns / config.HeadSize);

        WriteOwn(json, config);
    }

    /// <summary>What the file calls the activation.</summary>
    protected virtual string HiddenAct => "silu";

    /// <summary>The activation.</summary>
    protected virtual ActivationKind ReadActivation(JsonView json) => (json.Find("hidden_act")?.AsString() ?? "silu") is "silu" or "swish"
        ? ActivationKind.SwiGlu
        : throw json["hidden_act"].Wrong(json["hidden_act"].Describe(), "silu");

    /// <summary>Whether q, k and v have biases.</summary>
    protected virtual bool QueryKeyValueBias(bool attentionBias) => attentionBias;

    /// <summary>Whether the attention output has a bias.</summary>
    protected virtual bool OutputBias(bool attentionBias) => attentionBias;

    /// <summary>Whether the MLP has biases.</summary>
    protected virtual bool MlpBias(JsonView json) => json.Flag("mlp_bias");

    /// <summary>Sliding windows by layer; empty where all attention is full.</summary>
    protected virtual int[] ReadWindows(JsonView json, int layers) => [];

    /// <summary>Adds what else is this family's own.</summary>
    protected virtual ModelConfig ReadOwn(JsonView json, ModelConfig config) => config;

    /// <summary>Writes what is this family's own.</summary>
    protected virtual void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
        json.WriteBoolean("mlp_bias", config.MlpBias);
    }
}
