using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Adds gradients to those in BFloat16 (<see cref="Parameter.Gradient"/>): each addition is computed in Float32, a piece of a parameter
/// at a time, and rounded stochastically. Gradients in Float32, those of gains and biases, are added to as by <see cref="AccumulateSink"/>.
/// </summary>
/// <param name="scratch">Where pieces are while a pass is in a layer.</param>
internal sealed class RoundedSink(IBackend backend, Arena scratch) : IGradientSink, IDisposable
{
    private const int PieceElements = 1 << 22;

    private readonly AccumulateSink _exact = new(backend);
    private readonly DeviceBuffer _key = backend.Allocate(2 * sizeof(int));
    private int _additions; // of this pass, so that each has random numbers of its own

    /// <inheritdoc/>
    public bool PerDocument => false;

    /// <summary>Before every pass: what its random numbers are a function of.</summary>
    public void Begin(ulong key)
    {
        _additions = 0;
        backend.Upload<int>([(int)key, (int)(key >> 32)], Key);
    }

    /// <inheritdoc/>
    public bool Wants(Parameter parameter) => parameter.Trainable;

    /// <inheritdoc/>
    public void Matrix(Parameter parameter, ColumnView x, ColumnView dY, Tensor offsets)
    {
        AddProduct(parameter.Gradient, !parameter.HasZeroGradient, x, dY);
        parameter.HasZeroGradient = false;
    }

    /// <inheritdoc/>
    public bool Matrices(ParameterGroup group, Tensor x, Tensor dY, Tensor offsets)
    {
        AddProduct(group.Gradient, !group.HasZeroGradient, x, dY);
        group.HasZeroGradient = false;
        return true;
    }

    /// <inheritdoc/>
    public void DroppedMatrix(Parameter parameter, Tensor x, DropoutMask mask, Tensor dY)
    {
        ArenaMark mark = scratch.Mark();
        Tensor sum = scratch.Take(parameter.Shape.Rows, parameter.Shape.Columns); // Float32 [r, in]
        backend.Fill(sum, 0);
        backend.LoraDownGradient(dY, x, mask, sum);
        backend.StochasticRound(sum, parameter.Gradient, !parameter.HasZeroGradient, Next());
        parameter.HasZeroGradient = false;
        scratch.Release(mark);
    }

    /// <inheritdoc/>
    public void Vector(Parameter parameter, ColumnView dY, Tensor offsets) => _exact.Vector(parameter, dY, offsets);

    /// <inheritdoc/>
    public bool Vectors(ParameterGroup group, Tensor dY, Tensor offsets) => _exact.Vectors(group, dY, offsets);

    /// <inheritdoc/>
    public void Rows(Parameter parameter, Tensor rows, Tensor dY, Tensor offsets, Tensor head)
    {
        backend.AccumulateRows(rows, dY, parameter.Gradient, Next());
        parameter.HasZeroGradient = false;
    }

    /// <inheritdoc/>
    public void Dispose() => _key.Dispose();

    private Tensor Key => _key.AsTensor(new Shape(2), DType.Int32);

    private Rounding Next() => new(Key, _additions++);

    private void AddProduct(Tensor gradient, bool add, ColumnView x, ColumnView dY)
    {
        int step = Math.Clamp(PieceElements / gradient.Columns, 1, gradient.Rows);
        ArenaMark mark = scratch.Mark();
        Tensor piece = scratch.Take(step, gradient.Columns); // Float32
        for (int row = 0; row < gradient.Rows; row += step)
        {
            int rows = Math.Min(step, gradient.Rows - row);
            Tensor sum = piece.RowRange(0, rows);
            backend.Gemm(dY.Beside(row, rows), true, x, false, sum);
            backend.StochasticRound(sum, gradient.RowRange(row, rows), add, Next());
        }

        scratch.Release(mark);
    }
}
