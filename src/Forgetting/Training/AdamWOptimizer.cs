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
    private readonly IBackend _backend;
    private readonly RankExchange? _exchange;
    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly TrainingOptions _options;
    private readonly List<DeviceBuffer> _memory = [];
    private readonly Tensor _numbers; // [1, 4]
    private readonly Tensor _maps; // [2, 256], where a moment is in 8 bits
    private readonly RunPart[] _parts; // what is updated alike
    private readonly BlockwiseTensor[] _first; // moments of each part, Float32 without scales or in 8 bits
    private readonly BlockwiseTensor[] _second;

    /// <summary>Allocates the moments, zeroed; where ranks divide the parameters, those of this rank's part.</summary>
    /// <param name="options">Betas, ε, weight decay, and what the moments are kept in.</param>
    /// <param name="exchange">Where ranks divide the parameters (<see cref="Decoder.Sharding"/>): completes their values.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public AdamWOptimizer(IBackend backend, IReadOnlyList<Parameter> parameters, TrainingOptions options, RankExchange? exchange = null)
    {
        _backend = backend;
        _parameters = parameters;
        _options = options;
        _exchange = exchange;
        _numbers = Allocate(new Shape(AdamWSettings.NumberCount));
        _parts =
        [
            .. parameters.Select(parameter => parameter.Run ?? new ParameterRun([parameter])).Distinct()
                .SelectMany(run => run.Split(IsQuantized)),
        ];
        _first = [.. _parts.Select(Moment)];
        _second = [.. _parts.Select(Moment)];
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

        _exchange?.AllGather([.. _parts.Select(part => part.Run).Distinct().Select(run => (run.Value, run.OwnValue))]);

        // Of a rank's gradients the optimiser has seen its own part alone.
        for (int i = 0; i < _parameters.Count; i++)
        {
            _parameters[i].HasZeroGradient = _exchange is null;
        }
    }

    /// <summary>Everything a checkpoint must keep, by name: masters, then moments under PyTorch's names for them.</summary>
    internal IEnumerable<StateTensor> State() => [.. Parts([.. _parts.Select(part => part.Master)]), .. Moments()];

    /// <summary>The moments alone, of which those in 8 bits are codes and the largest magnitude of each block.</summary>
    /// <param name="whose">What they are called beside another optimiser's of the same parameters, with a point; or empty.</param>
    internal IEnumerable<StateTensor> Moments(string whose = "") =>
        [.. Parts(_first, $".{whose}exp_avg"), .. Parts(_second, $".{whose}exp_avg_sq")];

    /// <inheritdoc/>
    public void Dispose() => _memory.ForEach(b => b.Dispose());

    private bool IsQuantized(Parameter parameter) => IsQuantized(parameter, _options);

    // Rows of a table are seen now and then, and one that is large takes the precision of others in its block.
    private static bool IsQuantized(Parameter parameter, TrainingOptions options) => options.Optimizer.In8Bits
        && parameter.Kind == ParameterKind.Matrix && parameter.Shape.Count >= BlockwiseTensor.Least;

    private void Update()
    {
        for (int i = 0; i < _parts.Length; i++)
        {
            RunPart part = _parts[i];
            AdamWSettings settings = Settings(part.Run.HasVectors ? 0 : _options.Optimizer.WeightDecay);
            if (_first[i].Scales.IsEmpty)
            {
                _backend.AdamW(part.Master, part.Value, part.Gradient, _first[i].Codes, _second[i].Codes, settings, _numbers);
            }
            else
            {
                _backend.AdamW8Bit(part.Master, part.Value, part.Gradient, _first[i], _second[i], _maps, settings, _numbers);
            }
        }
    }

    // Of all parameters: of some of them a rank may have nothing.
    private IEnumerable<StateTensor> Parts(BlockwiseTensor[] moments, string suffix)
    {
        foreach (StateTensor codes in Parts([.. moments.Select(moment => moment.Codes)]))
        {
            Parameter parameter = codes.Parameter;
            bool quantized = IsQuantized(parameter);
            yield return codes with { Name = codes.Name + suffix, DType = quantized ? DType.UInt8 : DType.Float32 };
            if (!quantized)
                continue;

            // Blocks begin where parameters and parts do.
            int part = Array.FindIndex(moments, moment => moment.Codes.Pointer <= codes.Values.Pointer
                && codes.Values.Pointer < moment.Codes.Pointer + (nint)moment.Codes.Bytes);
            Shape all = BlockwiseTensor.ScalesOf(parameter.Shape), own = BlockwiseTensor.ScalesOf(codes.Values.Shape);
            long first = part < 0 ? 0 : (codes.Values.Pointer - moments[part].Codes.Pointer) / BlockwiseTensor.Block;
            yield return new StateTensor(
                $"{codes.Name}{suffix}.absmax", parameter, all, DType.Float32, codes.First / BlockwiseTensor.Block,
                part < 0 ? default : moments[part].Scales.Elements(first, own.Columns));
        }
    }

    private IEnumerable<StateTensor> Parts(Tensor[] ofParts)
    {
        Dictionary<Parameter, (long First, Tensor Values)> found = _parts.Zip(ofParts).SelectMany(pair => pair.First.PartsOf(pair.Second))
            .ToDictionary(each => each.Parameter, each => (each.First, each.Values));
        return _parameters.Select(parameter =>
        {
            (long first, Tensor values) = found.GetValueOrDefault(parameter);
            return new StateTensor(parameter.Name, parameter, parameter.Shape, DType.Float32, first, values);
        });
    }

    private AdamWSettings Settings(double decay) =>
        new((float)_options.Optimizer.AdamBeta1, (float)_options.Optimizer.AdamBeta2, (float)_options.Optimizer.AdamEpsilon, (float)decay);

    private BlockwiseTensor Moment(RunPart part) => IsQuantized(part.Like)
        ? new(Zero(part.Shape, DType.UInt8), Zero(BlockwiseTensor.ScalesOf(part.Shape), DType.Float32))
        : new(Zero(part.Shape, DType.Float32), default);

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
