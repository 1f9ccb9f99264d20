using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// AdamW (arXiv 1711.05101, algorithm 2) over a model's trainable parameters: Float32 masters, and moments in Float32 or in 8 bits
/// (<see cref="OptimizerSettings.Kind"/>). Norm gains and biases are not decayed.
/// </summary>
internal sealed class AdamWOptimizer : IDisposable
{
    // As in bitsandbytes.
    private const int SmallestQuantized = 4096;

    private readonly IBackend _backend;
    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly TrainingOptions _options;
    private readonly List<DeviceBuffer> _memory = [];
    private readonly Tensor _numbers; // [1, 4]
    private readonly Tensor _maps; // [2, 256], where a moment is in 8 bits
    private readonly ParameterRun[] _runs;
    private readonly BlockwiseTensor[] _first; // moments of each run, Float32 without scales or in 8 bits
    private readonly BlockwiseTensor[] _second;

    /// <summary>Allocates the moments, zeroed.</summary>
    /// <param name="options">Betas, ε, weight decay, and what the moments are kept in.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public AdamWOptimizer(IBackend backend, IReadOnlyList<Parameter> parameters, TrainingOptions options)
    {
        _backend = backend;
        _parameters = parameters;
        _options = options;
        _numbers = Allocate(new Shape(AdamWSettings.NumberCount));
        _runs =
        [
            .. parameters.Select(parameter => parameter.Run ?? new ParameterRun([parameter])).Distinct()
                .SelectMany(run => run.Split(IsQuantized)),
        ];
        _first = [.. _runs.Select(Moment)];
        _second = [.. _runs.Select(Moment)];
        if (Array.Exists(_first, moment => !moment.Scales.IsEmpty))
        {
            _maps = Allocate(new Shape(2, DynamicMap.Count));
            _backend.Upload<float>([.. DynamicMap.Signed, .. DynamicMap.Unsigned], _maps);
        }
    }

    /// <summary>Bytes of both moments of a parameter.</summary>
    public static long MomentBytes(Parameter parameter, TrainingOptions options) => 2 * (IsQuantized(parameter, options)
        ? parameter.Shape.Count + (BlockwiseTensor.ScalesOf(parameter.Shape).Count * sizeof(float))
        : parameter.Shape.Count * sizeof(float));

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
    internal IEnumerable<(string Name, Tensor Values)> State() =>
        [.. _parameters.Select(parameter => (parameter.Name, parameter.Master)), .. Moments()];

    /// <summary>The moments alone, of which those in 8 bits are codes and the largest magnitude of each block.</summary>
    /// <param name="whose">What they are called beside another optimiser's of the same parameters, with a point; or empty.</param>
    internal IEnumerable<(string Name, Tensor Values)> Moments(string whose = "") =>
        [.. Parts(_first, $".{whose}exp_avg"), .. Parts(_second, $".{whose}exp_avg_sq")];

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

    private bool IsQuantized(Parameter parameter) => IsQuantized(parameter, _options);

    // Rows of a table are seen now and then, and one that is large takes the precision of others in its block.
    private static bool IsQuantized(Parameter parameter, TrainingOptions options) => options.Optimizer.In8Bits
        && parameter.Kind == ParameterKind.Matrix && parameter.Shape.Count >= SmallestQuantized;

    private void Update()
    {
        for (int i = 0; i < _runs.Length; i++)
        {
            ParameterRun run = _runs[i];
            AdamWSettings settings = Settings(run.HasVectors ? 0 : _options.Optimizer.WeightDecay);
            if (_first[i].Scales.IsEmpty)
            {
                _backend.AdamW(run.Master, run.Value, run.Gradient, _first[i].Codes, _second[i].Codes, settings, _numbers);
            }
            else
            {
                _backend.AdamW8Bit(run.Master, run.Value, run.Gradient, _first[i], _second[i], _maps, settings, _numbers);
            }
        }
    }

    private IEnumerable<(string Name, Tensor Values)> Parts(BlockwiseTensor[] ofRuns, string suffix)
    {
        foreach ((Parameter parameter, BlockwiseTensor part) in _runs.Zip(ofRuns).SelectMany(pair => pair.First.PartsOf(pair.Second)))
        {
            yield return (parameter.Name + suffix, part.Codes);
            if (!part.Scales.IsEmpty)
                yield return ($"{parameter.Name}{suffix}.absmax", part.Scales);
        }
    }

    private AdamWSettings Settings(double decay) =>
        new((float)_options.Optimizer.AdamBeta1, (float)_options.Optimizer.AdamBeta2, (float)_options.Optimizer.AdamEpsilon, (float)decay);

    private BlockwiseTensor Moment(ParameterRun run) => IsQuantized(run.Parameters[0])
        ? new(Zero(run.Shape, DType.UInt8), Zero(BlockwiseTensor.ScalesOf(run.Shape), DType.Float32))
        : new(Zero(run.Shape, DType.Float32), default);

    private Tensor Zero(Shape shape, DType type)
    {
        Tensor tensor = Allocate(shape, type);
        _backend.Fill(new Tensor(tensor.Pointer, Words(tensor.Bytes), DType.Float32), 0);
        return tensor;
    }

    private Tensor Allocate(Shape shape, DType type = DType.Float32)
    {
        DeviceBuffer buffer = _backend.Allocate(Words(shape.Count * type.Size()).Count * sizeof(float));
        _memory.Add(buffer);
        return buffer.AsTensor(shape, type);
    }

    // So many bytes as Float32 elements, and some more.
    private static Shape Words(long bytes) => new(checked((int)((bytes + 255) / 256)), 256 / sizeof(float));
}
