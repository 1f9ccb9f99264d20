using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// The one seam through which weight gradients go. A layer's backward ends here with the pair that makes its gradient; the sink
/// decides whether that pair is accumulated, squared per example and accumulated, or projected (see
/// <see cref="ISinkOperations"/> for the exact sums). Layers ask <see cref="Wants"/> first and skip the work for frozen parameters.
/// </summary>
internal interface IGradientSink
{
    /// <summary>Whether this parameter's gradient is needed.</summary>
    bool Wants(Parameter parameter);

    /// <summary>True when gradients must stay apart by document, so that the head's chunks must hold whole documents.</summary>
    bool PerDocument { get; }

    /// <summary>Whether the sink speaks to other ranks in a pass, which then cannot be recorded.</summary>
    bool Communicates => false;

    /// <summary>A pass has come through a <see cref="Parameter.Unit"/>; the last first.</summary>
    void Completed(int unit)
    {
    }

    /// <summary>
    /// y = x·Wᵀ. <paramref name="offsets"/> groups the rows by document; may be default where the sink is not <see cref="PerDocument"/>.
    /// </summary>
    void Matrix(Parameter parameter, ColumnView x, ColumnView dY, Tensor offsets);

    /// <summary>As <see cref="Matrix"/> of all of a group at once, whose results are dY's columns from the first to the last.</summary>
    /// <returns>False if nothing was done, since the sink takes parameters one by one.</returns>
    bool Matrices(ParameterGroup group, Tensor x, Tensor dY, Tensor offsets) => false;

    /// <summary>y = drop(x)·Wᵀ.</summary>
    /// <exception cref="NotSupportedException">The sink is <see cref="PerDocument"/>: a document's own gradient
    /// is that without dropout.</exception>
    void DroppedMatrix(Parameter parameter, Tensor x, DropoutMask mask, Tensor dY) =>
        throw new NotSupportedException($"{GetType().Name} takes gradients without dropout");

    /// <summary>A vector whose gradient is the column sum of <paramref name="dY"/>.</summary>
    void Vector(Parameter parameter, ColumnView dY, Tensor offsets);

    /// <summary>As <see cref="Matrices"/>, of vectors.</summary>
    bool Vectors(ParameterGroup group, Tensor dY, Tensor offsets) => false;

    /// <summary>
    /// A table row lookup; <paramref name="head"/> is the tied head's part of the gradient where the sink is not linear, else default.
    /// </summary>
    void Rows(Parameter parameter, Tensor rows, Tensor dY, Tensor offsets, Tensor head);
}
