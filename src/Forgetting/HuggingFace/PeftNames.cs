namespace Forgetting.HuggingFace;

/// <summary>Names of adapter parameters, as PEFT writes them.</summary>
internal static class PeftNames
{
    /// <summary>First part of every name.</summary>
    public const string Prefix = "base_model.model.";

    /// <summary>Whether a parameter belongs to an adapter.</summary>
    public static bool IsAdapter(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);
}
