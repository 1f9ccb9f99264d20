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
    private readonly ParameterRun[] _runs;
    private readonly Tensor[] _first; // moments of each run
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
        _runs = [.. parameters.Select(parameter => parameter.Run ?? new ParameterRun([parameter])).Distinct()];
        _first = [.. _runs.Select(Moment)];
        _second = [.. _runs.Select(Moment)];
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
        (Dictionary<Parameter, Tensor> first, Dictionary<Parameter, Tensor> second) = (Parts(_first), Parts(_second));
        foreach (Parameter parameter in _parameters)
        {
            yield return (parameter.Name, parameter.Master);
            yield return (parameter.Name + ".exp_avg", first[parameter]);
            yield return (parameter.Name + ".exp_avg_sq", second[parameter]);
        }
    }

    /// <summary>Of a second optimiser of the same parameters, all that a checkpoint must keep.</summary>
    /// <param name="whose">What its moments are called beside the first's.</param>
    internal IEnumerable<(string Name, Tensor Values)> Moments(string whose)
    {
        (Dictionary<Parameter, Tensor> first, Dictionary<Parameter, Tensor> second) = (Parts(_first), Parts(_second));
        foreach (Parameter parameter in _parameters)
        {
            yield return ($"{parameter.Name}.{whose}.exp_avg", first[parameter]);
            yield return ($"{parameter.Name}.{whose}.exp_avg_sq", second[parameter]);
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
        for (int i = 0; i < _runs.Length; i++)
        {
            ParameterRun run = _runs[i];
            AdamWSettings settings = Settings(run.HasVectors ? 0 : _options.Optimizer.WeightDecay);
            _backend.AdamW(run.Master, run.Value, run.Gradient, _first[i], _second[i], settings, _numbers);
        }
    }

    private Dictionary<Parameter, Tensor> Parts(Tensor[] ofRuns) =>
        _runs.Zip(ofRuns).SelectMany(pair => pair.First.PartsOf(pair.Second)).ToDictionary(each => each.Parameter, each => each.Part);

    private AdamWSettings Settings(double decay) =>
        new((float)_options.Optimizer.AdamBeta1, (float)_options.Optimizer.AdamBeta2, (float)_options.Optimizer.AdamEpsilon, (float)decay);

    private Tensor Moment(ParameterRun run)
    {
        Tensor moment = Allocate(run.Shape);
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
