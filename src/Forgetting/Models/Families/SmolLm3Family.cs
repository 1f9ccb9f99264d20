using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>smollm3: llama with layers, every fourth where the file does not say, that have no positions.</summary>
internal sealed class SmolLm3Family : LlamaFamily
{
    private const int DefaultInterval = 4;

    /// <inheritdoc/>
    public override string ModelType => "smollm3";

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys => [.. base.ConfigKeys, "no_rope_layers", "no_rope_layer_interval"];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "smollm3";

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => false;

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.QueryKeyValueBias ? ("attention_bias is true", "false")
        : config.MlpBias ? ("mlp_bias is true", "false")
        : !config.RotaryLayers.SequenceEqual(Every(DefaultInterval, config.Layers))
            ? ("no_rope_layers is a list of its own", "0 in every fourth")
        : null;

    /// <inheritdoc/>
    protected override string Architecture => "SmolLM3ForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 32768;

    /// <inheritdoc/>
    protected override double DefaultTheta => 2_000_000;

    /// <inheritdoc/>
    protected override bool DefaultTied => true;

    /// <inheritdoc/>
    protected override int[] ReadWindows(JsonView json, int layers) =>
        json.Has("layer_types") || !json.Flag("use_sliding_window") || json.IntOrNull("sliding_window", 1, int.MaxValue) is not { } window
            ? Qwen2Family.ReadLayerWindows(json, layers, absent: null)
            : [.. ReadLayers(json, layers).Select(turned => turned ? 0 : window)];

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) =>
        config with { RotaryLayers = ReadLayers(json, config.Layers) };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        base.WriteOwn(json, config);
        json.WriteStartArray("no_rope_layers");
        foreach (bool turned in config.RotaryLayers)
        {
            json.WriteNumberValue(turned ? 1 : 0);
        }

        json.WriteEndArray();
        Qwen2Family.WriteLayerWindows(json, config);
    }

    // A layer of 1 has positions, for all that the key is called.
    private static bool[] ReadLayers(JsonView json, int layers)
    {
        if (json.Find("no_rope_layers") is not { } list)
            return Every(json.IntOrNull("no_rope_layer_interval", 1, int.MaxValue) ?? DefaultInterval, layers);

        return ConfigFields.OfLayers(list, layers, item => item.AsInt32() switch
        {
            0 => false,
            1 => true,
            _ => throw item.Wrong(item.Describe(), "0 or 1"),
        });
    }

    private static bool[] Every(int interval, int layers) => [.. Enumerable.Range(1, layers).Select(i => i % interval != 0)];
}
