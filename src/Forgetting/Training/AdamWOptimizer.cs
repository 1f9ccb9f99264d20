using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// AdamW (arXiv 1711.05101, algorithm 2) over a model's trainable parameters: Float32 masters and moments.
/// Norm gains and biases are not decayed.
/// </summary>
internal sealed class AdamWOptimizer : IDisposable
{
    private readonly IBackend _backend;
    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly TrainingOptions _options;
    private readonly List<DeviceBuffer> _memory = [];
    private readonly Tensor _numbers; // [1, 4]
    private readonly Tensor[] _first;
    private readonly Tensor[] _second;

    /// <summary>Allocates the moments, zeroed.</summary>
    /// <param name="options">Betas, ε and weight decay.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public AdamWOptimizer(IBackend backend, IReadOnlyList<Parameter> parameters, TrainingOptions options)
    {
        _backend = backend;
        _parameters = parameters;
        _options = options;
        _numbers = Allocate(new Shape(AdamWSettings.NumberCount));
        _first = [.. parameters.Select(Moment)];
        _second = [.. parameters.Select(Moment)];
    }

    /// <summary>Updates done so far.</summary>
    public int Updates { get; internal set; }

    /// <summary>Updates all parameters from their gradients, which are zero afterwards.</summary>
    /// <param name="gradientScale">Factor on the gradients, for clipping.</param>
    public void Step(double learningRate, double gradientScale = 1)
    {
        using var range = Nvtx.Range("optimizer"u8);
        Updates++;
        _backend.Upload<float>(Settings(decay: 0).Numbers(learningRate, Updates, gradientScale), _numbers);
        if (_options.Compute.NoCudaGraphs)
        {
            Update();
        }
        else
        {
            _backend.Repeat(this, this, static optimizer => optimizer.Update());
        }

        for (int i = 0; i < _parameters.Count; i++)
        {
            _parameters[i].HasZeroGradient = true;
        }
    }

    /// <summary>Everything a checkpoint must keep, by name: masters, then moments under PyTorch's names for them.</summary>
    internal IEnumerable<(string Name, Tensor Values)> State()
    {
        for (int i = 0; i < _parameters.Count; i++)
        {
            yield return (_parameters[i].Name, _parameters[i].Master);
            yield return (_parameters[i].Name + ".exp_avg", _first[i]);
            yield return (_parameters[i].Name + ".exp_avg_sq", _second[i]);
        }
    }

    /// <summary>Of a second optimiser of the same parameters, all that a checkpoint must keep.</summary>
    /// <param name="whose">What its moments are called beside the first's.</param>
    internal IEnumerable<(string Name, Tensor Values)> Moments(string whose)
    {
        for (int i = 0; i < _parameters.Count; i++)
        {
            yield return ($"{_parameters[i].Name}.{whose}.exp_avg", _first[i]);
            yield return ($"{_parameters[i].Name}.{whose}.exp_avg_sq", _second[i]);
        }
    }

    /// <summary>Makes the values that products read agree with masters that were just loaded.</summary>
    internal void MastersChanged()
    {
        foreach (Parameter parameter in _parameters.Where(p => p.Value.Pointer != p.Master.Pointer))
        {
            _backend.Copy(parameter.Master, parameter.Value);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.ForEach(b => b.Dispose());

    private void Update()
    {
        for (int i = 0; i < _parameters.Count; i++)
        {
            Parameter parameter = _parameters[i];
            AdamWSettings settings = Settings(parameter.Kind == ParameterKind.Vector ? 0 : _options.Optimizer.WeightDecay);
            _backend.AdamW(parameter.Master, parameter.Value, parameter.Gradient, _first[i], _second[i], settings, _numbers);
        }
    }

    private AdamWSettings Settings(double decay) =>
        new((float)_options.Optimizer.AdamBeta1, (float)_options.Optimizer.AdamBeta2, (float)_options.Optimizer.AdamEpsilon, (float)decay);

    private Tensor Moment(Parameter parameter)
    {
        Tensor moment = Allocate(parameter.Shape);
        _backend.Fill(moment, 0);
        return moment;
    }

    private Tensor Allocate(Shape shape)
    {
        DeviceBuffer buffer = _backend.Allocate(shape.Count * sizeof(float));
        _memory.Add(buffer);
        return buffer.AsTensor(shape, DType.Float32);
    }
}
