using Forgetting.Models;
using Forgetting.Models.Families;

namespace Forgetting.Checkpoints;

/// <summary>Names of parameters in adapter files.</summary>
internal static class PeftNames
{
    private const string Prefix = "base_model.model.";

    // What PEFT calls the weight of a layer that has an adapter.
    private const string BaseLayer = ".base_layer.weight";

    /// <summary>Whether a parameter belongs to an adapter.</summary>
    public static bool IsAdapter(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Name in the adapter's file of one of its parameters or of a base parameter that it holds whole.</summary>
    /// <param name="adapted">Whether the parameter's layer has an adapter.</param>
    public static string Of(Parameter parameter, bool adapted = false)
    {
        string name = IsAdapter(parameter.Name) ? parameter.Name : OfBase(parameter.Name);
        return adapted ? name[..^".weight".Length] + BaseLayer : name;
    }

    /// <summary>Name of a base parameter that the file holds whole.</summary>
    public static string OfBase(string parameter) => Prefix + parameter;

    /// <summary>Name of the embedding or the head that a tensor of an adapter's file holds whole, or null for any other tensor.</summary>
    public static string? WholeEnd(string tensor)
    {
        if (!IsAdapter(tensor) || tensor.Contains(".lora_", StringComparison.Ordinal))
            return null;

        string name = tensor[Prefix.Length..];
        name = name.EndsWith(BaseLayer, StringComparison.Ordinal) ? name[..^BaseLayer.Length] + ".weight" : name;
        return ModelFamilies.All.Any(f => name == f.Names.HeadWeight || name == $"{f.Names.Embedding}.weight") ? name : null;
    }

    /// <summary>Path of the layer that <c>….lora_A.weight</c> or <c>….lora_B.weight</c> adapts.</summary>
    public static string ModuleOf(string name) => name[Prefix.Length..name.LastIndexOf(".lora_", StringComparison.Ordinal)];
}
