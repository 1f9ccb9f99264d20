using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Parameters that lie end to end in memory, so that a product reads the rows of the first, the second, … as one matrix, and a sum their
/// elements as one vector. A parameter that has no such neighbours is a group of its own.
/// </summary>
internal sealed class ParameterGroup
{
    private readonly Parameter[] _parameters;

    /// <summary>Makes these the group of each of them: matrices with equal columns, or vectors.</summary>
    public ParameterGroup(params Parameter[] parameters)
    {
        _parameters = parameters;
        Shape = ShapeOf(parameters);
        foreach (Parameter parameter in parameters)
        {
            parameter.Group = this;
        }
    }

    /// <summary>The parameters, in the order of their memory.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>Of all together.</summary>
    public Shape Shape { get; }

    /// <summary>The parameters' values together.</summary>
    public Tensor Value => _parameters[0].Value with { Shape = Shape };

    /// <summary>The parameters' gradients together.</summary>
    public Tensor Gradient => _parameters[0].Gradient with { Shape = Shape };

    /// <summary><see cref="Parameter.HasZeroGradient"/> of all.</summary>
    public bool HasZeroGradient
    {
        get
        {
            foreach (Parameter parameter in _parameters)
            {
                if (!parameter.HasZeroGradient)
                    return false;
            }

            return true;
        }

        set
        {
            foreach (Parameter parameter in _parameters)
            {
                parameter.HasZeroGradient = value;
            }
        }
    }

    /// <summary>
    /// Whether parameters may lie end to end: where moments in 8 bits are kept of one of them, it must begin with a block of theirs.
    /// </summary>
    public static bool MayJoin(IReadOnlyList<Parameter> parameters) =>
        parameters.SkipLast(1).All(parameter => parameter.Shape.Count % BlockwiseTensor.Block == 0)
        || parameters.All(parameter => parameter.Shape.Count < BlockwiseTensor.Least);

    /// <summary>The groups of some parameters, each once, in order of their first.</summary>
    public static IEnumerable<ParameterGroup> Of(IEnumerable<Parameter> parameters) =>
        parameters.Select(parameter => parameter.Group).Distinct();

    /// <summary>Of parameters end to end: matrices with equal columns, or vectors.</summary>
    public static Shape ShapeOf(IReadOnlyList<Parameter> parameters) => parameters[0].Kind == ParameterKind.Vector
        ? new Shape(parameters.Sum(parameter => parameter.Shape.Columns))
        : new Shape(parameters.Sum(parameter => parameter.Shape.Rows), parameters[0].Shape.Columns);

    /// <summary>Gives each parameter its part of values of <see cref="Shape"/>.</summary>
    public void SetValue(Tensor whole)
    {
        nint start = whole.Pointer;
        foreach (Parameter parameter in _parameters)
        {
            parameter.Value = new Tensor(start, parameter.Shape, whole.DType);
            start += (nint)parameter.Value.Bytes;
        }
    }

    /// <summary>Makes each of the parameters a group of its own.</summary>
    public void Split()
    {
        foreach (Parameter parameter in _parameters)
        {
            _ = new ParameterGroup(parameter);
        }
    }
}
