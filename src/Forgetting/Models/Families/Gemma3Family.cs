using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// gemma3_text: gemma2 without caps, with norms of each head's queries and keys, a window in five of six layers, and positions of another
/// base in these.
/// </summary>
internal sealed class Gemma3Family : Gemma2Family
{
    /// <inheritdoc/>
    public override string ModelType => "gemma3_text";

    /// <inheritdoc/>
    public override ModuleNames Names { get; } = Gemma2Names with
    {
        QueryNorm = "self_attn.q_norm",
        KeyNorm = "self_attn.k_norm",
    };

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys =>
        [.. base.ConfigKeys, "rope_local_base_freq", "sliding_window_pattern", "_sliding_window_pattern"];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "gemma3";

    /// <inheritdoc/>
    public override int GgufWindowPattern => 6;

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.ScoreCap + config.LogitCap > 0 ? ("a cap on scores or logits is set", "none")
        : config.WindowRopeTheta != 10_000 ? ("rope_local_base_freq is a number of its own", "10000")
        : base.GgufLimit(config);

    /// <inheritdoc/>
    protected internal override int LargestLayers => 62;

    /// <inheritdoc/>
    protected override string Architecture => "Gemma3ForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 131_072;

    /// <inheritdoc/>
    protected override double DefaultTheta => 1_000_000;

    /// <inheritdoc/>
    protected override bool RopeByKind => true;

    /// <inheritdoc/>
    protected override double DefaultScoreCap => 0;

    /// <inheritdoc/>
    protected override double DefaultLogitCap => 0;

    /// <inheritdoc/>
    protected override int[] ReadWindows(JsonView json, int layers) => ReadWindows(
        json, layers,
        json.IntOrNull("sliding_window_pattern", 1, int.MaxValue) ?? json.IntOrNull("_sliding_window_pattern", 1, int.MaxValue)
            ?? GgufWindowPattern);

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) => base.ReadOwn(json, config) with
    {
        QueryKeyNorm = QueryKeyNorm.Head,
        WindowRopeTheta = RopeSettings.ReadOfWindows(json) ?? json.PositiveOrNull("rope_local_base_freq") ?? 10_000,
    };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        base.WriteOwn(json, config);
        json.WriteNumber("rope_local_base_freq", config.WindowRopeTheta ?? config.RopeTheta);
    }
}
