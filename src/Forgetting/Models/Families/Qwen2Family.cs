using System.Text.Json;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>qwen2: llama with biases on q, k and v, and sliding windows in its upper layers where they are switched on.</summary>
internal class Qwen2Family : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "qwen2";

    /// <inheritdoc/>
    public override string? GgufArchitecture => "qwen2";

    /// <inheritdoc/>
    public override bool GgufPairsRows => false;

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => false;

    /// <inheritdoc/>
    protected override string Architecture => "Qwen2ForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 32768;

    /// <inheritdoc/>
    protected override bool QueryKeyValueBias(bool attentionBias) => true;

    /// <inheritdoc/>
    protected override bool OutputBias(bool attentionBias) => false;

    /// <inheritdoc/>
    protected sealed override bool MlpBias(JsonView json) => false;

    /// <inheritdoc/>
    protected sealed override int[] ReadWindows(JsonView json, int layers) => ReadLayerWindows(json, layers, absent: 4096);

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config) => WriteLayerWindows(json, config);

    /// <summary>Sliding windows by layer; empty where they are not switched on.</summary>
    /// <param name="absent">The window where the file does not say; null for none, as null in the file is.</param>
    internal static int[] ReadLayerWindows(JsonView json, int layers, int? absent)
    {
        if (!json.Flag("use_sliding_window") || ReadWindow(json, absent) is not { } window)
            return [];

        if (json.Find("layer_types") is not { } types)
        {
            int firstWindowed = json.IntOrNull("max_window_layers", 0, int.MaxValue) ?? 28;
            return [.. Enumerable.Range(0, layers).Select(i => i < firstWindowed ? 0 : window)];
        }

        return ReadLayerTypes(types, layers, window);
    }

    /// <summary>The window where it is switched on; null for none.</summary>
    /// <param name="absent">What it is where the file does not say.</param>
    internal static int? ReadWindow(JsonView json, int? absent) => json.Element.TryGetProperty("sliding_window", out _)
        ? json.IntOrNull("sliding_window", 1, int.MaxValue)
        : absent;

    /// <summary>Writes them.</summary>
    internal static void WriteLayerWindows(Utf8JsonWriter json, ModelConfig config)
    {
        int window = config.Windows.FirstOrDefault(w => w > 0);
        json.WriteBoolean("use_sliding_window", window > 0);
        if (window == 0)
            return;

        json.WriteNumber("sliding_window", window);
        json.WriteNumber("max_window_layers", config.Windows.TakeWhile(w => w == 0).Count());
        WriteLayerTypes(json, config);
    }
}
