using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>qwen3: qwen2 with a norm of each head's queries and keys, and biases only where they are asked for.</summary>
internal sealed class Qwen3Family : Qwen2Family
{
    /// <inheritdoc/>
    public override string ModelType => "qwen3";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } =
        LlamaNames with { QueryNorm = "self_attn.q_norm", KeyNorm = "self_attn.k_norm" };

    /// <inheritdoc/>
    public override string? GgufArchitecture => "qwen3";

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.QueryKeyValueBias ? ("attention_bias is true", "false") : null;

    /// <inheritdoc/>
    protected override string Architecture => "Qwen3ForCausalLM";

    /// <inheritdoc/>
    protected override int? DefaultHeadSize => 128;

    /// <inheritdoc/>
    protected override bool QueryKeyValueBias(bool attentionBias) => attentionBias;

    /// <inheritdoc/>
    protected override bool OutputBias(bool attentionBias) => attentionBias;

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) => config with { QueryKeyNorm = QueryKeyNorm.Head };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
        base.WriteOwn(json, config);
    }
}
