using Forgetting.Models;

namespace Forgetting.HuggingFace;

/// <summary>Names of parameters in adapter files.</summary>
internal static class PeftNames
{
    private const string Prefix = "base_model.model.";

    /// <summary>The head, where it is saved whole.</summary>
    public const string Head = Prefix + "lm_head.weight";

    /// <summary>Whether a parameter belongs to an adapter.</summary>
    public static bool IsAdapter(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Name in the adapter's file of one of its parameters or of a base parameter that it holds whole.</summary>
    public static string Of(Parameter parameter) => IsAdapter(parameter.Name) ? parameter.Name : Prefix + parameter.Name;

    /// <summary>Path of the layer that <c>….lora_A.weight</c> or <c>….lora_B.weight</c> adapts.</summary>
    public static string ModuleOf(string name) => name[Prefix.Length..name.LastIndexOf(".lora_", StringComparison.Ordinal)];
}
