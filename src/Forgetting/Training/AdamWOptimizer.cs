using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// AdamW (arXiv 1711.05101, algorithm 2) over a model's trainable parameters: Float32 masters, and moments in Float32 or in 8 bits
/// (<see cref="OptimizerSettings.Kind"/>). Norm gains and biases are not decayed. Gradients in BFloat16, and weights in it that have no
/// masters, go through Float32 a piece at a time; the latter are rounded stochastically.
/// </summary>
internal sealed class AdamWOptimizer : IDisposable
{
    // Of what is in BFloat16, elements in Float32 at a time: blocks of moments stay whole.
    private const int PieceElements = 1 << 22;

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
    private readonly Tensor _key; // Int32 [1, 2], of the roundings of a step, where weights have no masters
    private readonly Tensor _wideMaster; // Float32 [1, n], where something is in BFloat16
    private readonly Tensor _wideGradient;
    private readonly uint _number; // of this optimiser among those of a run
    private int _roundings; // of this step

    /// <summary>Allocates the moments, zeroed; where ranks divide the parameters, those of this rank's part.</summary>
    /// <param name="options">Betas, ε, weight decay, and what the moments are kept in.</param>
    /// <param name="exchange">Where ranks divide the parameters (<see cref="Decoder.Sharding"/>): completes their values.</param>
    /// <param name="number">Which optimiser of a run it is, for random numbers of its own.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public AdamWOptimizer(
        IBackend backend, IReadOnlyList<Parameter> parameters, TrainingOptions options, RankExchange? exchange = null, uint number = 0)
    {
        _number = number;
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

        RunPart[] narrow = Array.FindAll(_parts, IsNarrow);
        if (narrow.Length > 0)
        {
            var piece = new Shape((int)Math.Min(PieceElements, narrow.Max(part => part.Shape.Count)));
            (_wideMaster, _wideGradient) = (Allocate(piece), Allocate(piece));
            _key = Allocate(new Shape(2), DType.Int32);
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
        if (!_key.IsEmpty)
        {
            (uint low, uint high, _, _) = Philox.Words(_options.Seed, (uint)Updates, _number, 0, RandomDomain.Rounding);
            _backend.Upload<int>([(int)low, (int)high], _key);
        }

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
        _roundings = 0;
        for (int i = 0; i < _parts.Length; i++)
        {
            RunPart part = _parts[i];
            if (IsNarrow(part))
            {
                for (long first = 0; first < part.Shape.Count; first += PieceElements)
                {
                    UpdatePiece(i, first, (int)Math.Min(PieceElements, part.Shape.Count - first));
                }
            }
            else
            {
                Update(part, part.Master, part.Value, part.Gradient, _first[i], _second[i]);
            }
        }
    }

    private void Update(RunPart part, Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v)
    {
        AdamWSettings settings = Settings(part.Run.HasVectors ? 0 : _options.Optimizer.WeightDecay);
        if (m.Scales.IsEmpty)
            _backend.AdamW(master, value, gradient, m.Codes, v.Codes, settings, _numbers);
        else
            _backend.AdamW8Bit(master, value, gradient, m, v, _maps, settings, _numbers);
    }

    // Some elements of a part of which something is in BFloat16.
    private void UpdatePiece(int part, long first, int count)
    {
        Tensor master = _parts[part].Master.Elements(first, count), value = _parts[part].Value.Elements(first, count),
            gradient = _parts[part].Gradient.Elements(first, count);
        (Tensor wideMaster, Tensor wideGradient) = (Widened(master, _wideMaster), Widened(gradient, _wideGradient));
        bool hasMaster = wideMaster == master;
        Update(
            _parts[part], wideMaster, hasMaster ? value : wideMaster, wideGradient, Among(_first[part], first, count),
            Among(_second[part], first, count));
        if (!hasMaster)
            _backend.StochasticRound(wideMaster, value, add: false, new Rounding(_key, _roundings++));

        if (wideGradient != gradient)
            _backend.Fill(gradient, 0);
    }

    private Tensor Widened(Tensor values, Tensor memory)
    {
        if (values.DType == DType.Float32)
            return values;

        Tensor wide = memory.Elements(0, (int)values.Count);
        _backend.Copy(values, wide);
        return wide;
    }

    private static BlockwiseTensor Among(BlockwiseTensor moment, long first, int count) => new(
        moment.Codes.Elements(first, count),
        moment.Scales.IsEmpty
            ? default
            : moment.Scales.Elements(first / BlockwiseTensor.Block, BlockwiseTensor.ScalesOf(new Shape(count)).Columns));

    private static bool IsNarrow(RunPart part) => part.Master.DType == DType.BFloat16 || part.Gradient.DType == DType.BFloat16;

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
            DType type = values.IsEmpty ? DType.Float32 : values.DType;
            return new StateTensor(parameter.Name, parameter, parameter.Shape, type, first, values);
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
