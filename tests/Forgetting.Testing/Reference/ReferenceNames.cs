using Forgetting.Models;

namespace Forgetting.Testing.Reference;

/// <summary>
/// Names of modules in the families' files as the transformers library has them, once more and apart from the library under test; empty
/// for what a family does not have.
/// </summary>
internal sealed record ReferenceNames
{
    public string Embedding { get; init; } = "model.embed_tokens";

    public string Positions { get; init; } = "";

    public string Blocks { get; init; } = "model.layers";

    /// <summary>Norm of what attention reads.</summary>
    public string Norm1 { get; init; } = "input_layernorm";

    /// <summary>Norm of what attention gives.</summary>
    public string Norm1Out { get; init; } = "";

    /// <summary>Norm of what the MLP reads.</summary>
    public string Norm2 { get; init; } = "post_attention_layernorm";

    /// <summary>Norm of what the MLP gives.</summary>
    public string Norm2Out { get; init; } = "";

    public string Last { get; init; } = "model.norm";

    public string Fused { get; init; } = "";

    public string Query { get; init; } = "self_attn.q_proj";

    public string Key { get; init; } = "self_attn.k_proj";

    public string Value { get; init; } = "self_attn.v_proj";

    public string QueryNorm { get; init; } = "";

    public string KeyNorm { get; init; } = "";

    public string Output { get; init; } = "self_attn.o_proj";

    public string Gate { get; init; } = "mlp.gate_proj";

    public string Up { get; init; } = "mlp.up_proj";

    public string Down { get; init; } = "mlp.down_proj";

    /// <summary>Gate and up in one.</summary>
    public string GateUp { get; init; } = "";

    public string Head { get; init; } = "lm_head";

    /// <summary>Names of a model's family.</summary>
    public static ReferenceNames Of(ModelConfig config) => config.Family.ModelType switch
    {
        "gpt2" => Gpt with { Fused = "attn.c_attn", Output = "attn.c_proj" },
        "gpt_neo" => Gpt with
        {
            Query = "attn.attention.q_proj",
            Key = "attn.attention.k_proj",
            Value = "attn.attention.v_proj",
            Output = "attn.attention.out_proj",
        },
        "qwen3" => new() { QueryNorm = "self_attn.q_norm", KeyNorm = "self_attn.k_norm" },
        "phi3" => new() { Fused = "self_attn.qkv_proj", Gate = "", Up = "", GateUp = "mlp.gate_up_proj" },
        "gpt_neox" => new()
        {
            Embedding = "gpt_neox.embed_in",
            Blocks = "gpt_neox.layers",
            Last = "gpt_neox.final_layer_norm",
            Fused = "attention.query_key_value",
            Output = "attention.dense",
            Gate = "",
            Up = "mlp.dense_h_to_4h",
            Down = "mlp.dense_4h_to_h",
            Head = "embed_out",
        },
        "olmo2" => new()
        {
            Norm1 = "",
            Norm1Out = "post_attention_layernorm",
            Norm2 = "",
            Norm2Out = "post_feedforward_layernorm",
            QueryNorm = "self_attn.q_norm",
            KeyNorm = "self_attn.k_norm",
        },
        "gemma2" or "gemma3_text" => new()
        {
            Norm1Out = "post_attention_layernorm",
            Norm2 = "pre_feedforward_layernorm",
            Norm2Out = "post_feedforward_layernorm",
            QueryNorm = config.Family.ModelType == "gemma2" ? "" : "self_attn.q_norm",
            KeyNorm = config.Family.ModelType == "gemma2" ? "" : "self_attn.k_norm",
        },
        _ => new(),
    };

    private static ReferenceNames Gpt { get; } = new()
    {
        Embedding = "transformer.wte",
        Positions = "transformer.wpe",
        Blocks = "transformer.h",
        Norm1 = "ln_1",
        Norm2 = "ln_2",
        Last = "transformer.ln_f",
        Gate = "",
        Up = "mlp.c_fc",
        Down = "mlp.c_proj",
    };
}
