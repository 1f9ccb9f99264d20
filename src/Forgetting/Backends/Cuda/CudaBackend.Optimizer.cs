using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void StochasticRound(Tensor x, Tensor y, bool add, Rounding rounding)
    {
        Contract.StochasticRound(x, y, rounding);
        LaunchFlat("stochastic_round", "bf16", y.Count, 4, x, y, add ? 1 : 0, rounding.Key, rounding.Stream, y.Count);
    }

    /// <inheritdoc/>
    public void SumOfSquares(Tensor x, Tensor result, int index) => Dot(x, x, result, index);

    /// <inheritdoc/>
    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        Contract.Dot(a, b, result, index);
        if (a.Count > 0)
        {
            int blocks = (int)Math.Min((a.Count + 4095) / 4096, 1024);
            nint partials = Scratch(1024 * sizeof(float));
            _device.Launch("dot_partials", Suffix(a.DType), new(blocks), BlockThreads, 0, a, b, a.Count, partials);
            _device.Launch("add_partials", "f32", new(1), BlockThreads, 0, partials, blocks, result.Pointer + (index * sizeof(float)));
        }
    }

    /// <inheritdoc/>
    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers)
    {
        Contract.AdamW(master, value, gradient, m, v, numbers);
        bool separate = !value.IsEmpty && value.Pointer != master.Pointer;
        LaunchFlat(
            "adamw", Suffix(separate ? value.DType : DType.Float32), master.Count, 4,
            master, separate ? value : default, gradient, m, v, settings.Beta1, settings.Beta2, settings.Epsilon, settings.WeightDecay,
            numbers, master.Count);
    }

    /// <inheritdoc/>
    public void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, AdamWSettings settings,
        Tensor numbers)
    {
        Contract.AdamW8Bit(master, value, gradient, m, v, maps, numbers);
        bool separate = !value.IsEmpty && value.Pointer != master.Pointer;
        LaunchFlat(
            "adamw_8bit", Suffix(separate ? value.DType : DType.Float32), master.Count, 8,
            master, separate ? value : default, gradient, m.Codes, m.Scales, v.Codes, v.Scales, maps, settings.Beta1, settings.Beta2,
            settings.Epsilon, settings.WeightDecay, numbers, master.Count);
    }
}
