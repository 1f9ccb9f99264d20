using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Makes the layers of a decoder and collects their parameters in checkpoint order; no memory is allocated here.</summary>
internal sealed class ModuleBuilder(ModelConfig config, LoraConfig? lora)
{
    private readonly List<Parameter> _base = [];
    private readonly List<Parameter> _adapter = [];
    private readonly List<LoraAdapter> _adapters = [];
    private readonly List<string> _adaptable = [];
    private int _linears;

    public ModelConfig Config => config;

    public ModuleNames Names { get; } = config.Family.Names;

    public IReadOnlyList<Parameter> BaseParameters => _base;

    public IReadOnlyList<Parameter> AdapterParameters => _adapter;

    /// <summary>The adapters that <see cref="AdapterParameters"/> belong to, in their order.</summary>
    public IReadOnlyList<LoraAdapter> Adapters => _adapters;

    /// <summary><see cref="Parameter.Unit"/> of what is made next.</summary>
    public int Unit { get; set; }

    /// <summary>Paths of what is adapted.</summary>
    public IReadOnlyList<string> AdaptedPaths => [.. _adapters.Select(a => a.Weight.Name[..^".weight".Length])];

    /// <summary>Paths of everything that can be adapted, adapted or not: embeddings, linear layers of blocks, the head.</summary>
    public IReadOnlyList<string> AdaptablePaths => _adaptable;

    public Linear Linear(string path, int inputs, int outputs, bool bias)
    {
        Parameter weight = Add(path + ".weight", ParameterKind.Matrix, new Shape(outputs, inputs));
        Parameter? biases = bias ? Add(path + ".bias", ParameterKind.Vector, new Shape(outputs)) : null;
        _adaptable.Add(path);

        // The stream is the layer's place in the model, so that targets can change without changing other layers' masks.
        int stream = _linears++;
        return new Linear(weight, biases, lora is not null && lora.Adapts(path) ? Adapter(path, weight, stream, inBlock: true) : null);
    }

    /// <summary>Layers that read the same input, in the order of their results' columns.</summary>
    /// <param name="joined">Whether the results are neighbouring columns, so that weights lie end to end.</param>
    public static LinearGroup Group(bool joined, params Linear[] layers)
    {
        Parameter[] weights = [.. layers.Select(layer => layer.Weight)];
        if (joined && ParameterGroup.MayJoin(weights))
        {
            _ = new ParameterGroup(weights);
            if (layers[0].Bias is not null)
                _ = new ParameterGroup([.. layers.Select(layer => layer.Bias!)]);
        }

        // One product has one scale.
        LoraAdapter[] adapters = [.. layers.Select(layer => layer.ActiveAdapter).OfType<LoraAdapter>()];
        Parameter[] downs = [.. adapters.Select(adapter => adapter.A)];
        if (adapters.Select(adapter => adapter.Scale).Distinct().Count() == 1 && ParameterGroup.MayJoin(downs))
            _ = new ParameterGroup(downs);

        return new LinearGroup(layers);
    }

    public NormLayer Norm(string path)
    {
        Parameter gain = Add(path + ".weight", ParameterKind.Vector, new Shape(config.HiddenSize));
        Parameter? bias = config.LayerNorm ? Add(path + ".bias", ParameterKind.Vector, new Shape(config.HiddenSize)) : null;
        return new NormLayer(gain, bias, (float)config.GainOffset, (float)config.NormEpsilon);
    }

    /// <summary>RMSNorm of queries or keys, one row a head or a token.</summary>
    public NormLayer HeadNorm(string path, int columns) =>
        new(
            Add(path + ".weight", ParameterKind.Vector, new Shape(columns)), null, (float)config.GainOffset, (float)config.NormEpsilon);

    public LookupTable Embedding(string path, int rows)
    {
        Parameter weight = Add(path + ".weight", ParameterKind.Embedding, new Shape(rows, config.HiddenSize));
        _adaptable.Add(path);
        return new LookupTable(
            weight, lora is not null && lora.AdaptsByName(path) ? Adapter(path, weight, stream: 0, inBlock: false) : null);
    }

    /// <param name="tied">The embedding where it is the head, or null for a weight of its own.</param>
    public LossHead Head(Parameter? tied)
    {
        if (tied is not null)
            return new LossHead(tied, null, (float)config.LogitScale, (float)config.LogitCap);

        Parameter weight = Add(Names.HeadWeight, ParameterKind.Matrix, new Shape(config.VocabularySize, config.HiddenSize));
        _adaptable.Add(Names.Head);
        return new LossHead(
            weight, lora is not null && lora.AdaptsByName(Names.Head) ? Adapter(Names.Head, weight, _linears, inBlock: false) : null,
            (float)config.LogitScale, (float)config.LogitCap);
    }

    private LoraAdapter Adapter(string path, Parameter weight, int stream, bool inBlock)
    {
        if (lora!.Dora && !inBlock)
            throw new UserException($"LoRA target '{path}': found DoRA (use_dora), expected it for linear layers of blocks alone");

        int rank = lora!.RankOf(path);
        bool table = weight.Kind == ParameterKind.Embedding;
        Shape shape = weight.Shape;
        string prefix = $"base_model.model.{path}.";
        Parameter a = table
            ? new(prefix + "lora_embedding_A", ParameterKind.Embedding, new Shape(shape.Rows, rank)) { Unit = Unit }
            : new(prefix + "lora_A.weight", ParameterKind.Matrix, new Shape(rank, shape.Columns)) { Unit = Unit };
        Parameter b = table
            ? new(prefix + "lora_embedding_B", ParameterKind.Matrix, new Shape(shape.Columns, rank)) { Unit = Unit }
            : new(prefix + "lora_B.weight", ParameterKind.Matrix, new Shape(shape.Rows, rank)) { Unit = Unit };
        Parameter? magnitude = lora.Dora
            ? new(prefix + "lora_magnitude_vector", ParameterKind.Vector, new Shape(shape.Rows)) { Unit = Unit }
            : null;
        _adapter.AddRange(magnitude is null ? [a, b] : [a, b, magnitude]);
        _adapters.Add(new LoraAdapter(weight, a, b, magnitude, (float)lora.ScaleOf(path), (float)lora.Dropout, stream));
        return _adapters[^1];
    }

    private Parameter Add(string name, ParameterKind kind, Shape shape)
    {
        var parameter = new Parameter(name, kind, shape) { Unit = Unit };
        _base.Add(parameter);
        return parameter;
    }
}
