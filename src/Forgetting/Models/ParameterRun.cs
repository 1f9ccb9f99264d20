using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Trainable parameters that lie end to end in memory, values, masters and gradients in the same order, so that one operation serves them
/// all: on a card a launch costs as much for a norm's gain as for a thousand times as many elements, and ranks divide the whole into equal
/// parts. Between groups of parameters are up to <see cref="Alignment"/> elements that are zero and stay so, and behind the last what
/// makes the parts equal.
/// </summary>
internal sealed class ParameterRun
{
    // Elements: more than the 256 bytes that the arena aligns to, so that blocks of a quantised moment end where a parameter does.
    private const int Alignment = BlockwiseTensor.Block;

    private readonly Sharding? _sharding;
    private readonly long[] _starts;
    private readonly int _firstRow; // of this rank's part
    private readonly bool _isGroup; // whose tensors are those of the parameters, whoever set these
    private Tensor _value;
    private Tensor _master;
    private Tensor _gradient;
    private Tensor _ownGradient;

    /// <summary>Of parameters that have no memory yet, or of one by itself.</summary>
    /// <param name="parameters">All of one <see cref="Parameter.Unit"/> where ranks divide them.</param>
    /// <param name="sharding">What ranks divide, or null.</param>
    public ParameterRun(IReadOnlyList<Parameter> parameters, Sharding? sharding = null)
    {
        Parameters = parameters;
        _sharding = sharding;
        _starts = new long[parameters.Count];
        long count = 0;
        for (int i = 0; i < parameters.Count; i++)
        {
            if (i > 0 && parameters[i].Group != parameters[i - 1].Group)
                count = (count + Alignment - 1) / Alignment * Alignment;

            _starts[i] = count;
            count += parameters[i].Shape.Count;
        }

        int ranks = sharding?.Ranks ?? 1, rows = checked((int)((count + ((long)Alignment * ranks) - 1) / (Alignment * ranks)));
        _isGroup = sharding is null && parameters.All(parameter => parameter.Group == parameters[0].Group);
        Shape = _isGroup ? ParameterGroup.ShapeOf(parameters) : new Shape(rows * ranks, Alignment);
        OwnShape = sharding is null ? Shape : new Shape(rows, Alignment);
        _firstRow = rows * (sharding?.Rank ?? 0);
    }

    /// <summary>The parameters, all vectors or none.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The unit of all, where ranks divide them.</summary>
    public int Unit => Parameters[0].Unit;

    /// <summary>Whether these are gains and biases, which weight decay leaves alone.</summary>
    public bool HasVectors => Parameters[0].Kind == ParameterKind.Vector;

    /// <summary>Of the whole: a single group's own.</summary>
    public Shape Shape { get; }

    /// <summary>Of the part that this rank updates: the whole, where ranks do not divide it.</summary>
    public Shape OwnShape { get; }

    /// <summary><see cref="Parameter.Value"/> of all.</summary>
    public Tensor Value => _isGroup ? Parameters[0].Value with { Shape = Shape } : _value;

    /// <summary>This rank's part of the values.</summary>
    public Tensor OwnValue => Own(Value);

    /// <summary>This rank's part of the masters.</summary>
    public Tensor OwnMaster => _isGroup ? Parameters[0].Master with { Shape = Shape } : _master;

    /// <summary><see cref="Parameter.Gradient"/> of all; in memory that runs share, where ranks divide gradients.</summary>
    public Tensor Gradient => _isGroup ? Parameters[0].Gradient with { Shape = Shape } : _gradient;

    /// <summary>This rank's part of the gradients.</summary>
    public Tensor OwnGradient => _ownGradient.IsEmpty ? Own(Gradient) : _ownGradient;

    /// <summary>The runs of some parameters: each group by itself, or joined, matrices and tables to one and vectors to another.</summary>
    public static IReadOnlyList<ParameterRun> Of(IReadOnlyList<Parameter> parameters, bool joined) => Of(
        joined
            ? ParameterGroup.Of(parameters).SelectMany(group => group.Parameters)
                .GroupBy(parameter => parameter.Kind == ParameterKind.Vector).Select(some => new ParameterRun([.. some]))
            : ParameterGroup.Of(parameters).Select(group => new ParameterRun(group.Parameters)));

    /// <summary>The runs of some parameters that ranks divide: of each unit one of matrices and tables and one of vectors.</summary>
    public static IReadOnlyList<ParameterRun> Of(IReadOnlyList<Parameter> parameters, Sharding sharding) => Of(
        parameters.GroupBy(parameter => (parameter.Unit, parameter.Kind == ParameterKind.Vector))
            .Select(group => new ParameterRun([.. group], sharding)));

    /// <summary>Gives the parameters their parts of a tensor of <see cref="Shape"/>.</summary>
    public void SetValue(Tensor value)
    {
        _value = value;
        Give(value, (parameter, part) => parameter.Value = part);
    }

    /// <summary>
    /// Gives the parameters their parts of a tensor of <see cref="Shape"/>; or takes one of <see cref="OwnShape"/>, where ranks divide the
    /// masters and none has a whole one.
    /// </summary>
    public void SetMaster(Tensor master)
    {
        _master = master.Shape == Shape ? Own(master) : master;
        if (master.Shape == Shape)
            Give(master, (parameter, part) => parameter.Master = part);
    }

    /// <summary>Gives the parameters their parts of a tensor of <see cref="Shape"/>.</summary>
    /// <param name="gradient">Where passes add.</param>
    /// <param name="own">Of <see cref="OwnShape"/>: where this rank's part of the sums is, or default where that is in the whole.</param>
    public void SetGradient(Tensor gradient, Tensor own = default)
    {
        _gradient = gradient;
        _ownGradient = own;
        Give(gradient, (parameter, part) => parameter.Gradient = part);
    }

    /// <summary>This rank's part of a tensor of <see cref="Shape"/>.</summary>
    public Tensor Own(Tensor whole) => _sharding is null ? whole : whole.RowRange(_firstRow, OwnShape.Rows);

    /// <summary>This rank's part, cut wherever neighbours differ in a property.</summary>
    public IEnumerable<RunPart> Split(Func<Parameter, bool> property)
    {
        long begin = (long)_firstRow * Alignment, end = begin + OwnShape.Count;
        for (int start = 0, after; start < Parameters.Count; start = after)
        {
            bool first = property(Parameters[start]);
            after = start + 1;
            while (after < Parameters.Count && property(Parameters[after]) == first)
            {
                after++;
            }

            long from = Math.Max(begin, _starts[start]), to = after < Parameters.Count ? Math.Min(end, _starts[after]) : end;
            if (from < to)
                yield return new RunPart(this, from - begin, to - from == OwnShape.Count ? OwnShape : RowsOf(to - from), Parameters[start]);
        }
    }

    /// <summary>What this rank has of the parameters: elements of each, the first one's place in it, and where they are.</summary>
    /// <param name="own">Of this rank's part.</param>
    /// <param name="offset">Place in the part from which on.</param>
    public IEnumerable<(Parameter Parameter, long First, Tensor Values)> PartsOf(Tensor own, long offset = 0)
    {
        long begin = ((long)_firstRow * Alignment) + offset, end = begin + own.Count;
        for (int i = 0; i < Parameters.Count; i++)
        {
            long first = Math.Max(_starts[i], begin), after = Math.Min(_starts[i] + Parameters[i].Shape.Count, end);
            if (first >= after)
                continue;

            // A whole one may have more elements than a vector.
            Shape whole = Parameters[i].Shape, shape = after - first == whole.Count ? whole : new Shape(checked((int)(after - first)));
            yield return (Parameters[i], first - _starts[i], own.Part(first - begin, shape));
        }
    }

    private static Shape RowsOf(long elements) => new(checked((int)(elements / Alignment)), Alignment);

    private static ParameterRun[] Of(IEnumerable<ParameterRun> runs)
    {
        ParameterRun[] all = [.. runs];
        foreach (ParameterRun run in all)
        {
            foreach (Parameter parameter in run.Parameters)
            {
                parameter.Run = run;
            }
        }

        return all;
    }

    private void Give(Tensor whole, Action<Parameter, Tensor> set)
    {
        for (int i = 0; i < Parameters.Count; i++)
        {
            set(Parameters[i], whole.Part(_starts[i], Parameters[i].Shape));
        }
    }
}

/// <summary>Neighbours of a run that are updated alike: what this rank has of them.</summary>
/// <param name="run">The run.</param>
/// <param name="offset">Place of the first element in this rank's part of the run.</param>
/// <param name="shape">Of what there is.</param>
/// <param name="like">One of the parameters.</param>
internal sealed class RunPart(ParameterRun run, long offset, Shape shape, Parameter like)
{
    /// <summary>The run.</summary>
    public ParameterRun Run => run;

    /// <summary>Of the tensors.</summary>
    public Shape Shape => shape;

    /// <summary>A parameter that is like all of them.</summary>
    public Parameter Like => like;

    /// <summary>Masters.</summary>
    public Tensor Master => Of(run.OwnMaster);

    /// <summary>Values.</summary>
    public Tensor Value => Of(run.OwnValue);

    /// <summary>Gradients.</summary>
    public Tensor Gradient => Of(run.OwnGradient);

    /// <summary><see cref="ParameterRun.PartsOf"/> a tensor of <see cref="Shape"/>.</summary>
    public IEnumerable<(Parameter Parameter, long First, Tensor Values)> PartsOf(Tensor values) => run.PartsOf(values, offset);

    private Tensor Of(Tensor own) => own.Part(offset, shape);
}
