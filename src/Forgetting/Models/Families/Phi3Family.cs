namespace Forgetting.Models.Families;

/// <summary>
/// phi3: mistral with q, k and v in one layer and gate and up in another, and positions that may turn a part of each head.
/// </summary>
internal sealed class Phi3Family : MistralFamily
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
    protected override int? DefaultWindow => null;
}
