using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Adds each parameter's gradient over the batch to <see cref="Parameter.Gradient"/>: ordinary training.</summary>
/// <param name="backend">Where they are.</param>
/// <param name="completed">What ranks do with a unit's gradients as soon as a pass has come through it; or null.</param>
internal sealed class AccumulateSink(IBackend backend, Action<int>? completed = null) : IGradientSink
{
    /// <inheritdoc/>
    public bool PerDocument => false;

    /// <inheritdoc/>
    public bool Communicates => completed != null;

    /// <inheritdoc/>
    public void Completed(int unit) => completed?.Invoke(unit);

    /// <inheritdoc/>
    public bool Wants(Parameter parameter) => parameter.Trainable;

    /// <inheritdoc/>
    public void Matrix(Parameter parameter, ColumnView x, ColumnView dY, Tensor offsets)
    {
        // What is known to be zero need not be read.
        backend.Gemm(dY, true, x, false, parameter.Gradient, beta: parameter.HasZeroGradient ? 0 : 1);
        parameter.HasZeroGradient = false;
    }

    /// <inheritdoc/>
    public bool Matrices(ParameterGroup group, Tensor x, Tensor dY, Tensor offsets)
    {
        backend.Gemm(dY, true, x, false, group.Gradient, beta: group.HasZeroGradient ? 0 : 1);
        group.HasZeroGradient = false;
        return true;
    }

    /// <inheritdoc/>
    public void DroppedMatrix(Parameter parameter, Tensor x, DropoutMask mask, Tensor dY)
    {
        backend.LoraDownGradient(dY, x, mask, parameter.Gradient);
        parameter.HasZeroGradient = false;
    }

    /// <inheritdoc/>
    public void Vector(Parameter parameter, ColumnView dY, Tensor offsets)
    {
        backend.AccumulateColumns(dY, parameter.Gradient);
        parameter.HasZeroGradient = false;
    }

    /// <inheritdoc/>
    public bool Vectors(ParameterGroup group, Tensor dY, Tensor offsets)
    {
        backend.AccumulateColumns(dY, group.Gradient);
        group.HasZeroGradient = false;
        return true;
    }

    /// <inheritdoc/>
    public void Rows(Parameter parameter, Tensor rows, Tensor dY, Tensor offsets, Tensor head)
    {
        backend.AccumulateRows(rows, dY, parameter.Gradient);
        parameter.HasZeroGradient = false;
    }
}

/// <summary>
/// Adds the square of each document's own gradient to <see cref="Parameter.Gradient"/>: the sum over examples that is the diagonal
/// Fisher information (arXiv 2505.19715). Weights that make the loss of a document its summed log-likelihood
/// give the Fisher of whole examples.
/// </summary>
internal sealed class SquareAccumulateSink(IBackend backend) : IGradientSink
{
    /// <inheritdoc/>
    public bool PerDocument => true;

    /// <inheritdoc/>
    public bool Wants(Parameter parameter) => parameter.Trainable;

    /// <inheritdoc/>
    public void Matrix(Parameter parameter, ColumnView x, ColumnView dY, Tensor offsets) =>
        backend.SquareAccumulateMatrix(x, dY, offsets, parameter.Gradient);

    /// <inheritdoc/>
    public bool Matrices(ParameterGroup group, Tensor x, Tensor dY, Tensor offsets)
    {
        backend.SquareAccumulateMatrix(x, dY, offsets, group.Gradient);
        return true;
    }

    /// <inheritdoc/>
    public void Vector(Parameter parameter, ColumnView dY, Tensor offsets) =>
        backend.SquareAccumulateColumns(dY, offsets, parameter.Gradient);

    /// <inheritdoc/>
    public bool Vectors(ParameterGroup group, Tensor dY, Tensor offsets)
    {
        backend.SquareAccumulateColumns(dY, offsets, group.Gradient);
        return true;
    }

    /// <inheritdoc/>
    public void Rows(Parameter parameter, Tensor rows, Tensor dY, Tensor offsets, Tensor head) =>
        backend.SquareAccumulateRows(rows, dY, offsets, head, parameter.Gradient);
}

/// <summary>What a document's gradient g is projected on: Σ A∘g and Σ B∘g².</summary>
/// <param name="A">Float32, the parameter's shape.</param>
/// <param name="B">Float32, the parameter's shape.</param>
internal readonly record struct Projection(Tensor A, Tensor B);

/// <summary>
/// Adds, for each document s with gradient g_s, Σ A∘g_s and Σ B∘g_s² over all given parameters to row s of <see cref="Result"/>: the two
/// numbers that the forgetting confidence needs (arXiv 2505.19715), with A = F∘Δ and B = F.
/// </summary>
internal sealed class ProjectSink(IBackend backend, IReadOnlyDictionary<Parameter, Projection> projections) : IGradientSink
{
    /// <summary>Float32 [n, 2] for the n documents of the next batch; set to zeros by the caller before each.</summary>
    public Tensor Result { get; set; }

    /// <inheritdoc/>
    public bool PerDocument => true;

    /// <inheritdoc/>
    public bool Wants(Parameter parameter) => projections.ContainsKey(parameter);

    /// <inheritdoc/>
    public void Matrix(Parameter parameter, ColumnView x, ColumnView dY, Tensor offsets)
    {
        Projection projection = projections[parameter];
        backend.ProjectMatrix(x, dY, offsets, projection.A, projection.B, Result);
    }

    /// <inheritdoc/>
    public void Vector(Parameter parameter, ColumnView dY, Tensor offsets)
    {
        Projection projection = projections[parameter];
        backend.ProjectColumns(dY, offsets, projection.A, projection.B, Result);
    }

    /// <inheritdoc/>
    public void Rows(Parameter parameter, Tensor rows, Tensor dY, Tensor offsets, Tensor head)
    {
        Projection projection = projections[parameter];
        backend.ProjectRows(rows, dY, offsets, head, projection.A, projection.B, Result);
    }
}
