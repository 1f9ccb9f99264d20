using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// phi3: llama with q, k and v in one layer and gate and up in another, a sliding window in all layers where there is one, and positions
/// that may turn a part of each head.
/// </summary>
internal sealed class Phi3Family : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "phi3";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = LlamaNames with
    {
        Query = "",
        Key = "",
        Value = "",
        FusedQueryKeyValue = "self_attn.qkv_proj",
        Gate = "",
        Up = "",
        FusedGateUp = "mlp.gate_up_proj",
    };

    /// <inheritdoc/>
    public override string? GgufArchitecture => "phi3";

    /// <inheritdoc/>
    public override bool GgufPairsRows => false;

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => false;

    /// <inheritdoc/>
    protected override string Architecture => "Phi3ForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 4096;

    /// <inheritdoc/>
    protected override double DefaultEpsilon => 1e-5;

    /// <inheritdoc/>
    protected override bool PartialRotary => true;

    /// <inheritdoc/>
    protected override bool QueryKeyValueBias(bool attentionBias) => false;

    /// <inheritdoc/>
    protected override bool OutputBias(bool attentionBias) => false;

    /// <inheritdoc/>
    protected override bool MlpBias(JsonView json) => false;

    /// <inheritdoc/>
    protected override int[] ReadWindows(JsonView json, int layers) =>
        json.IntOrNull("sliding_window", 1, int.MaxValue) is { } window ? [.. Enumerable.Repeat(window, layers)] : [];

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        if (config.Windows.Count > 0)
            json.WriteNumber("sliding_window", config.Windows[0]);
        else
            json.WriteNull("sliding_window");
    }
}
