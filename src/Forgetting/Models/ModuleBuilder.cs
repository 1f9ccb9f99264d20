using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Makes the layers of a decoder and collects their parameters in checkpoint order; no memory is allocated here.</summary>
internal sealed class ModuleBuilder(ModelConfig config, LoraConfig? lora)
{
    private readonly List<Parameter> _base = [];
    private readonly List<Parameter> _adapter = [];
    private readonly List<string> _linears = [];

    public ModelConfig Config => config;

    public ModuleNames Names { get; } = ModuleNames.Of(config.Family);

    public IReadOnlyList<Parameter> BaseParameters => _base;

    public IReadOnlyList<Parameter> AdapterParameters => _adapter;

    /// <summary>Paths of all linear layers of blocks, adapted or not.</summary>
    public IReadOnlyList<string> LinearPaths => _linears;

    public Linear Linear(string path, int inputs, int outputs, bool bias)
    {
        Parameter weight = Add(path + ".weight", ParameterKind.Matrix, new Shape(outputs, inputs));
        Parameter? biases = bias ? Add(path + ".bias", ParameterKind.Vector, new Shape(outputs)) : null;
        LoraAdapter? adapter = null;
        if (lora is not null && lora.Adapts(path))
        {
            int rank = lora.RankOf(path);
            var a = new Parameter($"base_model.model.{path}.lora_A.weight", ParameterKind.Matrix, new Shape(rank, inputs));
            var b = new Parameter($"base_model.model.{path}.lora_B.weight", ParameterKind.Matrix, new Shape(outputs, rank));
            _adapter.Add(a);
            _adapter.Add(b);

            // The stream is the layer's place in the model, so that targets can change without changing other layers' masks.
            adapter = new LoraAdapter(a, b, (float)lora.ScaleOf(path), (float)lora.Dropout, Stream: _linears.Count);
        }

        _linears.Add(path);
        return new Linear(weight, biases, adapter);
    }

    public NormLayer Norm(string path)
    {
        Parameter gain = Add(path + ".weight", ParameterKind.Vector, new Shape(config.HiddenSize));
        Parameter? bias = config.LayerNorm ? Add(path + ".bias", ParameterKind.Vector, new Shape(config.HiddenSize)) : null;
        return new NormLayer(gain, bias, (float)config.NormEpsilon);
    }

    public Parameter Embedding(string path, int rows) =>
        Add(path + ".weight", ParameterKind.Embedding, new Shape(rows, config.HiddenSize));

    public Parameter Head() =>
        Add(ModuleNames.Head + ".weight", ParameterKind.Matrix, new Shape(config.VocabularySize, config.HiddenSize));

    private Parameter Add(string name, ParameterKind kind, Shape shape)
    {
        var parameter = new Parameter(name, kind, shape);
        _base.Add(parameter);
        return parameter;
    }
}
