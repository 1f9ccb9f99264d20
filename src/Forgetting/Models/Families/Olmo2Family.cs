using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// olmo2: llama with norms of what attention and MLP give in place of what they read, and of all queries and all keys of a token.
/// </summary>
internal sealed class Olmo2Family : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "olmo2";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = LlamaNames with
    {
        AttentionNorm = "",
        AttentionOutputNorm = "post_attention_layernorm",
        MlpNorm = "",
        MlpOutputNorm = "post_feedforward_layernorm",
        QueryNorm = "self_attn.q_norm",
        KeyNorm = "self_attn.k_norm",
    };

    /// <inheritdoc/>
    public override string? GgufArchitecture => "olmo2";

    /// <inheritdoc/>
    public override bool GgufPairsRows => false;

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => false;

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.QueryKeyValueBias ? ("attention_bias is true", "false") : null;

    /// <inheritdoc/>
    protected override string Architecture => "Olmo2ForCausalLM";

    /// <inheritdoc/>
    protected override double DefaultEpsilon => 1e-5;

    /// <inheritdoc/>
    protected override bool MlpBias(JsonView json) => false;

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) =>
        config with { NormPlace = NormPlace.After, QueryKeyNorm = QueryKeyNorm.Projection };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config) =>
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
}
