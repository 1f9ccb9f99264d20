using Forgetting.Tensors;

namespace Forgetting.Backends.Timing;

// Reductions and the optimiser.
internal sealed partial class TimedBackend
{
    /// <inheritdoc/>
    public void StochasticRound(Tensor x, Tensor y, bool add, Rounding rounding)
    {
        using var _ = Time([x, y, add ? y : default]);
        inner.StochasticRound(x, y, add, rounding);
    }

    /// <inheritdoc/>
    public void SumOfSquares(Tensor x, Tensor result, int index)
    {
        using var _ = Time([x]);
        inner.SumOfSquares(x, result, index);
    }

    /// <inheritdoc/>
    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        using var _ = Time([a, b]);
        inner.Dot(a, b, result, index);
    }

    /// <inheritdoc/>
    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers)
    {
        using var _ = Time([master, master, gradient, gradient, m, m, v, v, value.Pointer == master.Pointer ? default : value]);
        inner.AdamW(master, value, gradient, m, v, settings, numbers);
    }

    /// <inheritdoc/>
    public void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, AdamWSettings settings,
        Tensor numbers)
    {
        Tensor written = value.Pointer == master.Pointer ? default : value;
        using var _ = Time(
            [
                master, master, gradient, gradient, written, m.Codes, m.Codes, m.Scales, m.Scales, v.Codes, v.Codes, v.Scales, v.Scales,
            ]);
        inner.AdamW8Bit(master, value, gradient, m, v, maps, settings, numbers);
    }
}
