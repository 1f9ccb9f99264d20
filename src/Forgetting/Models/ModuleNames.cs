namespace Forgetting.Models;

/// <summary>Module paths of a family's Hugging Face checkpoint. Those of a block are relative to <c>{Blocks}.{i}</c>.</summary>
internal sealed record ModuleNames
{
    private static readonly ModuleNames LlamaNames = new()
    {
        Embedding = "model.embed_tokens",
        Positions = null,
        Blocks = "model.layers",
        FinalNorm = "model.norm",
        AttentionNorm = "input_layernorm",
        MlpNorm = "post_attention_layernorm",
        Query = "self_attn.q_proj",
        Key = "self_attn.k_proj",
        Value = "self_attn.v_proj",
        AttentionOutput = "self_attn.o_proj",
        Gate = "mlp.gate_proj",
        Up = "mlp.up_proj",
        Down = "mlp.down_proj",
    };

    private static readonly ModuleNames Gpt2Names = new()
    {
        Embedding = "transformer.wte",
        Positions = "transformer.wpe",
        Blocks = "transformer.h",
        FinalNorm = "transformer.ln_f",
        AttentionNorm = "ln_1",
        MlpNorm = "ln_2",
        FusedQueryKeyValue = "attn.c_attn",
        AttentionOutput = "attn.c_proj",
        Up = "mlp.c_fc",
        Down = "mlp.c_proj",
    };

    private static readonly ModuleNames GptNeoNames = Gpt2Names with
    {
        FusedQueryKeyValue = null,
        Query = "attn.attention.q_proj",
        Key = "attn.attention.k_proj",
        Value = "attn.attention.v_proj",
        AttentionOutput = "attn.attention.out_proj",
    };

    public required string Embedding { get; init; }

    public required string? Positions { get; init; }

    public required string Blocks { get; init; }

    public required string FinalNorm { get; init; }

    public required string AttentionNorm { get; init; }

    public required string MlpNorm { get; init; }

    /// <summary>One layer for q, k and v side by side, or null where they are three.</summary>
    public string? FusedQueryKeyValue { get; init; }

    public string Query { get; init; } = "";

    public string Key { get; init; } = "";

    public string Value { get; init; } = "";

    public required string AttentionOutput { get; init; }

    public string Gate { get; init; } = "";

    public required string Up { get; init; }

    public required string Down { get; init; }

    /// <summary>Output head, where it is not the embedding.</summary>
    public static string Head => "lm_head";

    public static ModuleNames Of(ModelFamily family) => family switch
    {
        ModelFamily.Llama or ModelFamily.Qwen2 => LlamaNames,
        ModelFamily.Gpt2 => Gpt2Names,
        ModelFamily.GptNeo => GptNeoNames,
        _ => throw new ArgumentOutOfRangeException(nameof(family), family, null),
    };
}
