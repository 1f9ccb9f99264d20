using Forgetting.Backends;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>The two terms of a step's gradient.</summary>
/// <param name="PositiveNorm">Norm of the positive term's gradient.</param>
/// <param name="NegativeNorm">Norm of the negative term's gradient, λ included.</param>
/// <param name="UnitNegativeNorm">Norm of the negative term's gradient at λ = 1.</param>
/// <param name="Cosine">Cosine of the angle between them; −1: they cancel, NaN: one of them is 0.</param>
internal readonly record struct GradientPartNorms(double PositiveNorm, double NegativeNorm, double UnitNegativeNorm, double Cosine);

/// <summary>
/// Norms of gradients, and a second set of gradients in which the negative term's is kept. The positive term's is the difference
/// between the whole gradient and that one, since the gradient is linear in the weights: one further pass is enough, and the training
/// itself is the same bits with or without it.
/// </summary>
internal sealed class GradientParts : IDisposable
{
    private readonly Decoder _decoder;
    private readonly IBackend _backend;
    private readonly SharedGradients _gradients;
    private readonly Tensor[] _own; // what this rank has of the gradients
    private readonly List<DeviceBuffer> _memory = [];
    private readonly Tensor _sums; // one number a tensor
    private readonly float[] _host;
    private Tensor[] _negative = [];
    private Tensor _scratch;

    public GradientParts(Decoder decoder, SharedGradients gradients)
    {
        _decoder = decoder;
        _backend = decoder.Backend;
        _gradients = gradients;
        _own = [.. gradients.Own];
        _sums = Allocate(new Shape(_own.Length));
        _host = new float[_own.Length];
    }

    /// <summary>Norm of the whole gradient; not finite when any element is not.</summary>
    public double Norm()
    {
        _decoder.Repeat(
            this, this, static parts => parts.Sums(
                parts._decoder.TrainableRuns.Count,
                (i, sums) => parts._backend.SumOfSquares(parts._decoder.TrainableRuns[i].OwnGradient, sums, i)));
        return Math.Sqrt(Total());
    }

    /// <summary>Keeps the present gradients as those of the negative term at λ = 1.</summary>
    public void KeepNegative()
    {
        if (_negative.Length == 0)
        {
            _negative = [.. _own.Select(own => Allocate(own.Shape))];
            _scratch = Allocate(_own.MaxBy(own => own.Count).Shape);
        }

        for (int i = 0; i < _negative.Length; i++)
        {
            _backend.Copy(_own[i], _negative[i]);
        }
    }

    /// <summary>Compares the kept gradient with what remains of the present one.</summary>
    /// <param name="lambda">Factor with which the kept gradient is part of the present one.</param>
    public GradientPartNorms Compare(double lambda)
    {
        double negative = Math.Sqrt(Sum((i, sums) => _backend.SumOfSquares(_negative[i], sums, i)));
        double positive = Math.Sqrt(Sum((i, sums) => _backend.SumOfSquares(Positive(i, lambda), sums, i)));
        double dot = Sum((i, sums) => _backend.Dot(Positive(i, lambda), _negative[i], sums, i));
        return new(positive, lambda * negative, negative, dot / (positive * negative));
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.ForEach(b => b.Dispose());

    private Tensor Positive(int i, double lambda)
    {
        Tensor difference = new(_scratch.Pointer, _own[i].Shape, DType.Float32);
        _backend.Copy(_own[i], difference);
        _backend.Axpy((float)-lambda, _negative[i], difference);
        return difference;
    }

    private double Sum(Action<int, Tensor> addTo)
    {
        Sums(_own.Length, addTo);
        return Total();
    }

    private void Sums(int count, Action<int, Tensor> addTo)
    {
        _backend.Fill(_sums, 0);
        for (int i = 0; i < count; i++)
        {
            addTo(i, _sums);
        }
    }

    // One number a parameter or run of parameters, added up in double in a fixed order, then over the ranks that divide them.
    private double Total()
    {
        _backend.Download(_sums, _host.AsSpan());
        double sum = 0;
        foreach (float part in _host)
        {
            sum += part;
        }

        return _gradients.Total(sum);
    }

    private Tensor Allocate(Shape shape)
    {
        DeviceBuffer buffer = _backend.Allocate(shape.Count * sizeof(float));
        _memory.Add(buffer);
        return buffer.AsTensor(shape, DType.Float32);
    }
}
