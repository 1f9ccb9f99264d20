using System.Text.Json;
using Forgetting.IO;
using static Forgetting.Models.Families.ConfigFields;

namespace Forgetting.Models.Families;

/// <summary>
/// gemma2: gemma with norms of what layers give too, caps on scores and logits, a scale of the scores of its own, and a sliding window in
/// every other layer.
/// </summary>
internal class Gemma2Family : GemmaFamily
{
    /// <summary>Names that gemma3 has too.</summary>
    protected static readonly ModuleNames Gemma2Names = LlamaNames with
    {
        AttentionOutputNorm = "post_attention_layernorm",
        MlpNorm = "pre_feedforward_layernorm",
        MlpOutputNorm = "post_feedforward_layernorm",
    };

    // Of llama.cpp's table of models; it takes another scale of scores for this number of layers.
    private const int LayersOf27B = 46;

    /// <inheritdoc/>
    public override string ModelType => "gemma2";

    /// <inheritdoc/>
    public override ModuleNames Names => Gemma2Names;

    /// <inheritdoc/>
    public override IReadOnlyCollection<string> ConfigKeys =>
        [.. base.ConfigKeys, "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"];

    /// <inheritdoc/>
    public override string? GgufArchitecture => "gemma2";

    /// <inheritdoc/>
    public override int GgufWindowPattern => 2;

    /// <summary>Cap on scores where the file does not say; 0 for none.</summary>
    protected virtual double DefaultScoreCap => 50;

    /// <summary>Cap on logits where the file does not say; 0 for none.</summary>
    protected virtual double DefaultLogitCap => 30;

    /// <inheritdoc/>
    public override (string Found, string Expected)? GgufLimit(ModelConfig config) =>
        base.GgufLimit(config)
        ?? (config.AttentionScale != 1 / Math.Sqrt(config.Layers == LargestLayers ? config.HiddenSize / config.Heads : config.HeadSize)
            ? ("query_pre_attn_scalar is a number of its own", "head_dim")
            : null);

    /// <summary>Layers of the family's largest model.</summary>
    protected internal virtual int LargestLayers => LayersOf27B;

    /// <inheritdoc/>
    protected override string Architecture => "Gemma2ForCausalLM";

    /// <inheritdoc/>
    protected override int[] ReadWindows(JsonView json, int layers) => ReadWindows(json, layers, GgufWindowPattern);

    /// <summary>Windows in all layers but every <paramref name="pattern"/>-th, where the file does not name the layers.</summary>
    protected static int[] ReadWindows(JsonView json, int layers, int pattern)
    {
        int window = json.IntOrNull("sliding_window", 1, int.MaxValue) ?? 4096;
        if (json.Find("layer_types") is not { } types)
            return [.. Enumerable.Range(1, layers).Select(i => i % pattern == 0 ? 0 : window)];

        return ReadLayerTypes(types, layers, window);
    }

    /// <inheritdoc/>
    protected override ModelConfig ReadOwn(JsonView json, ModelConfig config)
    {
        RequireFalse(json, "use_bidirectional_attention");
        return base.ReadOwn(json, config) with
        {
            NormPlace = NormPlace.Both,
            AttentionScale = 1 / Math.Sqrt(json.PositiveOrNull("query_pre_attn_scalar") ?? 256),
            ScoreCap = Cap("attn_logit_softcapping", DefaultScoreCap),
            LogitCap = Cap("final_logit_softcapping", DefaultLogitCap),
        };

        // Null says that there is none.
        double Cap(string key, double absent) =>
            json.PositiveOrNull(key) ?? (json.Element.TryGetProperty(key, out _) ? 0 : absent);
    }

    /// <inheritdoc/>
    protected override void WriteOwn(Utf8JsonWriter json, ModelConfig config)
    {
        base.WriteOwn(json, config);

        // Numbers such as 256 come back whole.
        json.WriteNumber("query_pre_attn_scalar", Math.Round(Math.Pow(config.AttentionScale, -2), 9));
        WriteCap("attn_logit_softcapping", config.ScoreCap);
        WriteCap("final_logit_softcapping", config.LogitCap);
        if (config.Windows.FirstOrDefault(w => w > 0) is > 0 and int window)
            json.WriteNumber("sliding_window", window);

        WriteLayerTypes(json, config);

        void WriteCap(string key, double cap)
        {
            if (cap > 0)
                json.WriteNumber(key, cap);
            else
                json.WriteNull(key);
        }
    }
}
