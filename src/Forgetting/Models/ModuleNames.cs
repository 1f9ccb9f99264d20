namespace Forgetting.Models;

/// <summary>Module paths of a family's Hugging Face checkpoint. Those of a block are relative to <c>{Blocks}.{i}</c>.</summary>
internal sealed record ModuleNames
{
    public required string Embedding { get; init; }

    public required string? Positions { get; init; }

    public required string Blocks { get; init; }

    public required string FinalNorm { get; init; }

    /// <summary>Norm of what attention reads, where the family has it.</summary>
    public string AttentionNorm { get; init; } = "";

    /// <summary>Norm of what attention gives, where the family has it.</summary>
    public string AttentionOutputNorm { get; init; } = "";

    /// <summary>Norm of what the MLP reads, where the family has it.</summary>
    public string MlpNorm { get; init; } = "";

    /// <summary>Norm of what the MLP gives, where the family has it.</summary>
    public string MlpOutputNorm { get; init; } = "";

    /// <summary>One layer for q, k and v side by side, or null where they are three.</summary>
    public string? FusedQueryKeyValue { get; init; }

    public string Query { get; init; } = "";

    public string Key { get; init; } = "";

    public string Value { get; init; } = "";

    /// <summary>Norm of the queries, where the family has it.</summary>
    public string QueryNorm { get; init; } = "";

    /// <summary>Norm of the keys, where the family has it.</summary>
    public string KeyNorm { get; init; } = "";

    public required string AttentionOutput { get; init; }

    /// <summary>One layer for gate and up side by side, or null where they are two.</summary>
    public string? FusedGateUp { get; init; }

    public string Gate { get; init; } = "";

    public string Up { get; init; } = "";

    public required string Down { get; init; }

    /// <summary>Output head, where it is not the embedding.</summary>
    public string Head { get; init; } = "lm_head";

    /// <summary>Name of its weight.</summary>
    public string HeadWeight => $"{Head}.weight";
}
