using System.Text.Json;
using Forgetting.IO;

namespace Forgetting.Models.Families;

/// <summary>
/// gemma: llama whose gains are held as what they differ from 1 by, whose embedding is multiplied by √C, with GELU for the gate. Those that
/// came after it derive from it.
/// </summary>
internal class GemmaFamily : LlamaFamily
{
    /// <inheritdoc/>
    public override string ModelType => "gemma";

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys => [.. base.ConfigKeys, "hidden_activation"];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "gemma";

    /// <inheritdoc/>
    public override bool GgufPairsRows => false;

    /// <inheritdoc/>
    public override bool GgufReadsRopeFactors => false;

    /// <inheritdoc/>
    public override bool GgufScalesEmbedding => true;

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        config.QueryKeyValueBias ? ("attention_bias is true", "false")
        : !config.TiedHead ? ("tie_word_embeddings is false", "true")
        : null;

    /// <inheritdoc/>
    protected override string Architecture => "GemmaForCausalLM";

    /// <inheritdoc/>
    protected override int DefaultContext => 8192;

    /// <inheritdoc/>
    protected override int? DefaultHeadSize => 256;

    /// <inheritdoc/>
    protected override bool DefaultTied => true;

    /// <inheritdoc/>
    protected override string HiddenAct => "gelu_pytorch_tanh";

    /// <inheritdoc/>
    protected override bool MlpBias(JsonView json) => false;

    // Files of the first models say gelu under hidden_act and mean the approximation, as all that reads them knows.
    /// <inheritdoc/>
    protected override ActivationKind ReadActivation(JsonView json) =>
        json.Find("hidden_activation") is not { } activation || activation.AsString() == "gelu_pytorch_tanh"
            ? ActivationKind.GeGluTanh
            : throw activation.Wrong(activation.Describe(), "gelu_pytorch_tanh");

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config) =>
        config with { GainOffset = 1, EmbeddingScale = Math.Sqrt(config.HiddenSize) };

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        json.WriteBoolean("attention_bias", config.QueryKeyValueBias);
        json.WriteString("hidden_activation", HiddenAct);
    }
}
