using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>How a parameter enters the computation, which decides what its gradient looks like.</summary>
internal enum ParameterKind
{
    /// <summary>[out, in] of a linear layer.</summary>
    Matrix,

    /// <summary>[1, C] bias or gain.</summary>
    Vector,

    /// <summary>[V, C] table whose rows are looked up.</summary>
    Embedding,
}

/// <summary>A named weight with everything a step needs of it. Matrices are always [out, in] here, whatever the file's layout.</summary>
internal sealed class Parameter
{
    /// <summary>A parameter under its name in the Hugging Face checkpoint (or adapter).</summary>
    public Parameter(string name, ParameterKind kind, Shape shape)
    {
        Name = name;
        Kind = kind;
        Shape = shape;
        Group = new ParameterGroup(this);
    }

    /// <summary>Name in the checkpoint.</summary>
    public string Name { get; }

    /// <summary>Kind.</summary>
    public ParameterKind Kind { get; }

    /// <summary>Shape in memory.</summary>
    public Shape Shape { get; }

    /// <summary>
    /// The part of the model that it is in, whose gradients a backward pass finishes together: 0 for what is before the blocks, then one a
    /// block, then one for what is behind them.
    /// </summary>
    public int Unit { get; init; }

    /// <summary>Whether steps change it; a frozen parameter has no gradient and no Float32 master.</summary>
    public bool Trainable { get; set; }

    /// <summary>The values that products read, in the backend's storage type.</summary>
    public Tensor Value { get; set; }

    /// <summary>
    /// Float32 values that the optimiser updates; the same memory as <see cref="Value"/> when that is Float32 or there are no others
    /// (<see cref="Decoder.TrainedType"/>), and default where ranks divide what else there would be.
    /// </summary>
    public Tensor Master { get; set; }

    /// <summary>Float32 or BFloat16 gradient (or, under another sink, whatever that sink sums); default while frozen.</summary>
    public Tensor Gradient { get; set; }

    /// <summary>
    /// Whether the gradient is known to be zero, so that nobody need set it to zero again: from <see cref="Decoder.ZeroGradients"/> or the
    /// optimiser's step on, until the next backward pass. Who writes a gradient by other means clears it.
    /// </summary>
    public bool HasZeroGradient { get; internal set; }

    /// <summary>The parameters that lie end to end with this one, itself among them.</summary>
    public ParameterGroup Group { get; set; }

    /// <summary>The trainable parameters that this one lies among; null where that is of no interest.</summary>
    public ParameterRun? Run { get; set; }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Shape}";
}
