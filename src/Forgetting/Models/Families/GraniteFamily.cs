using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// granite: llama with factors on the embedding, on the scores and on what a layer adds to the stream, and a divisor of the logits.
/// </summary>
internal sealed class GraniteFamily : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "granite";

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys =>
        [.. base.ConfigKeys, "embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "granite";

    /// <inheritdoc/>
    protected override string Architecture => "GraniteForCausalLM";

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) => config with
    {
        EmbeddingScale = json.PositiveOrNull("embedding_multiplier") ?? 1,
        AttentionScale = json.PositiveOrNull("attention_multiplier") ?? 1,
        ResidualScale = json.PositiveOrNull("residual_multiplier") ?? 1,
        LogitScale = 1 / (json.PositiveOrNull("logits_scaling") ?? 1),
    };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        base.WriteOwn(json, config);
        json.WriteNumber("embedding_multiplier", config.EmbeddingScale);
        json.WriteNumber("attention_multiplier", config.AttentionScale);
        json.WriteNumber("residual_multiplier", config.ResidualScale);
        json.WriteNumber("logits_scaling", 1 / config.LogitScale);
    }
}
