using System.Text.Json;
using System.Text.RegularExpressions;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>
/// gpt2: LayerNorm before, learned positions, GELU, biases, and q, k and v in one layer; linear layers are stored [in, out].
/// </summary>
internal sealed partial class Gpt2Family : ModelFamily
{
    /// <inheritdoc/>
    public override string ModelType => "gpt2";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = new()
    {
        Embedding = "transformer.wte",
        Positions = "transformer.wpe",
        Blocks = "transformer.h",
        FinalNorm = "transformer.ln_f",
        AttentionNorm = "ln_1",
        MlpNorm = "ln_2",
        FusedQueryKeyValue = "attn.c_attn",
        AttentionOutput = "attn.c_proj",
        Up = "mlp.c_fc",
        Down = "mlp.c_proj",
    };

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys { get; } =
    [
        "n_embd", "n_head", "n_layer", "n_inner", "n_positions", "layer_norm_epsilon", "activation_function", "scale_attn_weights",
        "scale_attn_by_inverse_layer_idx", "add_cross_attention",
    ];

    /// <inheritdoc/>
    public override bool StoresTransposed => true;

    /// <inheritdoc/>
    public override string? GgufArchitecture => "gpt2";

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.Activation != ActivationKind.GeluTanh ? ("activation_function is gelu", "gelu_new")
        : config.AttentionScale == 1 && config.HeadSize > 1 ? ("scale_attn_weights is false", "true")
        : null;

    /// <inheritdoc/>
    public override bool IsTransposed(string name) => Conv1D().IsMatch(name);

    /// <inheritdoc/>
    public override ModelConfig ReadConfig(JsonView json)
    {
        RequireFalse(json, "scale_attn_by_inverse_layer_idx");
        RequireFalse(json, "add_cross_attention");
        int hidden = json.Int("n_embd", 1, MaxWidth);
        int heads = json.Int("n_head", 1, MaxWidth);
        int headSize = HeadSize(json, "n_embd", hidden, "n_head", heads);
        return new ModelConfig
        {
            Family = this,
            LayerNorm = true,
            LearnedPositions = true,
            VocabularySize = json.Int("vocab_size", 1, MaxVocabulary),
            HiddenSize = hidden,
            IntermediateSize = json.IntOrNull("n_inner", 1, MaxWidth) ?? 4 * hidden,
            Layers = json.Int("n_layer", 1, MaxLayers),
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = headSize,
            ContextLength = json.Int("n_positions", 1, MaxContext),
            NormEpsilon = json.PositiveOrNull("layer_norm_epsilon") ?? 1e-5,
            Activation = Gelu(json),
            QueryKeyValueBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            TiedHead = json.Flag("tie_word_embeddings", absent: true),
            AttentionScale = json.Flag("scale_attn_weights", absent: true) ? 1 / Math.Sqrt(headSize) : 1,
        };
    }

    /// <inheritdoc/>
    public override void WriteConfig(Utf8JsonWriter json, ModelConfig config)
    {
        WriteType(json, this, "GPT2LMHeadModel");
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

    [GeneratedRegex(@"(^|\.)(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$", RegexOptions.CultureInvariant)]
    private static partial Regex Conv1D();
}
