using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Trainable parameters that lie end to end in memory, values, masters and gradients in the same order, so that one operation serves them
/// all: on a card a launch costs as much for a norm's gain as for a thousand times as many elements. Between them are up to
/// <see cref="Alignment"/> elements that are zero and stay so.
/// </summary>
internal sealed class ParameterRun
{
    // Elements: more than the 256 bytes that the arena aligns to, so that blocks of a quantised moment end where a parameter does.
    private const int Alignment = BlockwiseTensor.Block;

    private readonly long[] _starts;

    /// <summary>Of parameters that have no memory yet, or of one by itself.</summary>
    public ParameterRun(IReadOnlyList<Parameter> parameters)
    {
        Parameters = parameters;
        _starts = new long[parameters.Count];
        long count = 0;
        for (int i = 0; i < parameters.Count; i++)
        {
            _starts[i] = count;
            count += (parameters[i].Shape.Count + Alignment - 1) / Alignment * Alignment;
        }

        Shape = parameters.Count == 1 ? parameters[0].Shape : new Shape(checked((int)(count / Alignment)), Alignment);
    }

    /// <summary>The parameters, all vectors or none.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Whether these are gains and biases, which weight decay leaves alone.</summary>
    public bool HasVectors => Parameters[0].Kind == ParameterKind.Vector;

    /// <summary>Of the whole: a single parameter's own.</summary>
    public Shape Shape { get; }

    /// <summary><see cref="Parameter.Value"/> of all.</summary>
    public Tensor Value => Parameters[0].Value with { Shape = Shape };

    /// <summary><see cref="Parameter.Master"/> of all.</summary>
    public Tensor Master => Parameters[0].Master with { Shape = Shape };

    /// <summary><see cref="Parameter.Gradient"/> of all.</summary>
    public Tensor Gradient => Parameters[0].Gradient with { Shape = Shape };

    /// <summary>The runs of some parameters: each by itself, or joined, matrices and tables to one and vectors to another.</summary>
    public static IReadOnlyList<ParameterRun> Of(IReadOnlyList<Parameter> parameters, bool joined)
    {
        ParameterRun[] runs = joined
            ? [.. parameters.GroupBy(parameter => parameter.Kind == ParameterKind.Vector).Select(group => new ParameterRun([.. group]))]
            : [.. parameters.Select(parameter => new ParameterRun([parameter]))];
        foreach (ParameterRun run in runs)
        {
            foreach (Parameter parameter in run.Parameters)
            {
                parameter.Run = run;
            }
        }

        return runs;
    }

    /// <summary>Gives the parameters their parts of a tensor of <see cref="Shape"/>.</summary>
    public void SetValue(Tensor value) => Give(value, (parameter, part) => parameter.Value = part);

    /// <inheritdoc cref="SetValue"/>
    public void SetMaster(Tensor master) => Give(master, (parameter, part) => parameter.Master = part);

    /// <inheritdoc cref="SetValue"/>
    public void SetGradient(Tensor gradient) => Give(gradient, (parameter, part) => parameter.Gradient = part);

    /// <summary>The run cut wherever neighbours differ in a property.</summary>
    public IEnumerable<ParameterRun> Split(Func<Parameter, bool> property)
    {
        for (int start = 0, end; start < Parameters.Count; start = end)
        {
            bool first = property(Parameters[start]);
            end = start + 1;
            while (end < Parameters.Count && property(Parameters[end]) == first)
            {
                end++;
            }

            yield return new ParameterRun([.. Parameters.Take(start..end)]);
        }
    }

    /// <summary>The parameters' parts of a tensor of <see cref="Shape"/>.</summary>
    public IEnumerable<(Parameter Parameter, Tensor Part)> PartsOf(Tensor whole)
    {
        for (int i = 0; i < Parameters.Count; i++)
        {
            nint start = whole.Pointer + (nint)(_starts[i] * whole.DType.Size());
            yield return (Parameters[i], new Tensor(start, Parameters[i].Shape, whole.DType));
        }
    }

    /// <summary>The parameters' parts of a tensor of <see cref="Shape"/> in 8 bits, or of one without scales.</summary>
    public IEnumerable<(Parameter Parameter, BlockwiseTensor Part)> PartsOf(BlockwiseTensor whole)
    {
        int i = 0;
        foreach ((Parameter parameter, Tensor codes) in PartsOf(whole.Codes))
        {
            nint start = whole.Scales.Pointer + (nint)(_starts[i++] / BlockwiseTensor.Block * sizeof(float));
            Tensor scales = new(start, BlockwiseTensor.ScalesOf(parameter.Shape), DType.Float32);
            yield return (parameter, new(codes, whole.Scales.IsEmpty ? default : scales));
        }
    }

    private void Give(Tensor whole, Action<Parameter, Tensor> set)
    {
        foreach ((Parameter parameter, Tensor part) in PartsOf(whole))
        {
            set(parameter, part);
        }
    }
}
