using System.Text.RegularExpressions;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>What a tensor of a checkpoint is to the model.</summary>
/// <param name="Source">The tensor.</param>
/// <param name="Parameter">The parameter it fills, or null for buffers that are carried along.</param>
/// <param name="Transposed">The file holds [in, out].</param>
/// <param name="AliasOf">The tied embedding of which this is the head's copy, else null.</param>
/// <param name="IsTiedHead">The tied embedding once more, as the values of a head that the model in memory has apart from it.</param>
internal sealed record TensorBinding(
    StoredTensor Source, Parameter? Parameter, bool Transposed = false, StoredTensor? AliasOf = null, bool IsTiedHead = false)
{
    /// <summary>Name under which the parameter is written.</summary>
    public string Name => IsTiedHead ? Parameter!.Name : Source.Name;
}

/// <summary>Pairs a checkpoint's tensors with a model's parameters; nothing may be left over on either side.</summary>
internal static partial class TensorMap
{
    /// <summary>One binding for each tensor, in the checkpoint's order.</summary>
    /// <exception cref="UserException">Tensors that are missing, unused, or have another shape or type than the model needs.</exception>
    public static List<TensorBinding> Bind(Checkpoint checkpoint, IReadOnlyList<Parameter> parameters)
    {
        Dictionary<string, StoredTensor> tensors = [];
        foreach (StoredTensor tensor in checkpoint.Tensors)
        {
            if (!tensors.TryAdd(tensor.Name, tensor))
                throw new UserException($"{tensor.Path}: tensor {Wording.Quote(tensor.Name)} is in another file too");
        }

        Dictionary<string, Parameter> byTensor = [];
        Parameter? untied = null;
        List<string> missing = [];
        foreach (Parameter parameter in parameters.Where(p => !PeftNames.IsAdapter(p.Name)))
        {
            if (FindName(tensors, parameter.Name, checkpoint.Config.Family.Names) is { } name)
                byTensor.Add(name, parameter);
            else if (parameter.Name == checkpoint.Config.Family.Names.HeadWeight && checkpoint.Config.TiedHead)
                untied = parameter;
            else
                missing.Add(parameter.Name);
        }

        if (missing.Count > 0)
            throw new UserException($"{checkpoint.Path}: missing tensors: {Wording.List(missing)}");

        List<TensorBinding> bindings = [.. checkpoint.Tensors.Select(t => Bind(checkpoint.Config, t, byTensor, tensors))];
        if (untied is not null)
            bindings.Add(new TensorBinding(tensors[EmbeddingName(checkpoint.Config, byTensor)], untied, IsTiedHead: true));

        string[] unused = [.. bindings.Where(b => b.Parameter == null && !IsBuffer(b.Source.Name)).Select(b => b.Source.Name)];
        return unused.Length == 0
            ? bindings
            : throw new UserException(
                $"{checkpoint.Path}: unused tensors, for which {ConfigFile.Name} has no place: {Wording.List(unused)}");
    }

    /// <summary>Whether files of this family hold the transpose of a matrix: GPT-2's Conv1D, and A of an adapted embedding.</summary>
    public static bool IsTransposed(ModelFamily family, string name) => name.EndsWith(".lora_embedding_A", StringComparison.Ordinal)
        || family.IsTransposed(name);

    // Checkpoints saved from the bare decoder lack the first part of each name.
    private static string? FindName(Dictionary<string, StoredTensor> tensors, string name, ModuleNames names)
    {
        if (tensors.ContainsKey(name))
            return name;

        string root = names.Embedding[..(names.Embedding.IndexOf('.', StringComparison.Ordinal) + 1)];
        return name.StartsWith(root, StringComparison.Ordinal) && tensors.ContainsKey(Bare(name)) ? Bare(name) : null;
    }

    private static TensorBinding Bind(
        ModelConfig config, StoredTensor tensor, Dictionary<string, Parameter> byTensor, Dictionary<string, StoredTensor> tensors)
    {
        if (!byTensor.TryGetValue(tensor.Name, out Parameter? parameter))
        {
            return tensor.Name == config.Family.Names.HeadWeight && config.TiedHead
                ? BindTiedHead(config, tensor, byTensor, tensors)
                : new TensorBinding(tensor, null);
        }

        bool transposed = IsTransposed(config.Family, tensor.Name);
        if (transposed && tensor.Data is BitsAndBytesData)
        {
            throw new UserException(
                $"{tensor.Path}: tensor {Wording.Quote(tensor.Name)} is in NF4, and {config.Family.ModelType} holds it transposed; "
                + "expected F32, F16 or BF16");
        }

        CheckShape(tensor, transposed ? new Shape(parameter.Shape.Columns, parameter.Shape.Rows) : parameter.Shape);
        return new TensorBinding(tensor, parameter, transposed);
    }

    /// <summary>Checks that a tensor can fill a parameter.</summary>
    public static void CheckShape(StoredTensor tensor, Shape expected)
    {
        if (!tensor.Type.IsWeight())
        {
            throw new UserException(
                $"{tensor.Path}: tensor {Wording.Quote(tensor.Name)} has dtype {tensor.Type}, expected F32, F16 or BF16");
        }

        if (!tensor.Has(expected))
        {
            string shape = expected.Rows == 1 ? $"[{expected.Columns}]" : $"{expected}";
            throw new UserException(
                $"{tensor.Path}: tensor {Wording.Quote(tensor.Name)} has shape {tensor.ShapeText}, expected {shape}");
        }
    }

    // Some tools store the tied head a second time. It may stay if it says the same.
    private static TensorBinding BindTiedHead(
        ModelConfig config, StoredTensor head, Dictionary<string, Parameter> byTensor, Dictionary<string, StoredTensor> tensors)
    {
        string name = EmbeddingName(config, byTensor);
        CheckShape(head, byTensor[name].Shape);
        return new TensorBinding(head, byTensor[name], AliasOf: tensors[name]);
    }

    private static string EmbeddingName(ModelConfig config, Dictionary<string, Parameter> byTensor) =>
        byTensor.Keys.First(k => $".{k}".EndsWith($".{Bare(config.Family.Names.Embedding)}.weight", StringComparison.Ordinal));

    // Without the first part.
    private static string Bare(string name) => name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..];

    private static bool IsBuffer(string name) => Buffers().IsMatch(name);

    // Causal masks and rotary frequencies, which older versions of the library saved with the weights.
    [GeneratedRegex(@"(\.(attn|attention|attn\.attention)\.(masked_)?bias|rotary_emb\.inv_freq)$", RegexOptions.CultureInvariant)]
    private static partial Regex Buffers();
}
