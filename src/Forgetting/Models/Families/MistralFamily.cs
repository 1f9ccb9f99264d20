using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// mistral: llama without biases, whose layers all look back over the same sliding window, or over everything where it is null.
/// </summary>
internal class MistralFamily : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "mistral";

    /// <summary>Window where the file does not say, as transformers' MistralConfig has it; null for none.</summary>
    protected virtual int? DefaultWindow => 4096;

    /// <inheritdoc/>
    protected override string Architecture => "MistralForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 131_072;

    /// <inheritdoc/>
    protected override bool QueryKeyValueBias(bool attentionBias) => false;

    /// <inheritdoc/>
    protected override bool OutputBias(bool attentionBias) => false;

    /// <inheritdoc/>
    protected override bool MlpBias(JsonView json) => false;

    /// <inheritdoc/>
    protected override int[] ReadWindows(JsonView json, int layers) =>
        Qwen2Family.ReadWindow(json, DefaultWindow) is { } size ? [.. Enumerable.Repeat(size, layers)] : [];

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        if (config.Windows.Count > 0)
            json.WriteNumber("sliding_window", config.Windows[0]);
        else
            json.WriteNull("sliding_window");
    }
}
