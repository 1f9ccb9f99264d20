using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

public sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void SumOfSquares(Tensor x, Tensor result, int index) => Dot(x, x, result, index);

    /// <inheritdoc/>
    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        Require(a.Count == b.Count && a.DType == b.DType);
        Require(result.DType == DType.Float32 && index >= 0 && index < result.Count);
        if (a.Count > 0)
        {
            int blocks = (int)Math.Min((a.Count + 4095) / 4096, 1024);
            nint partials = Scratch(1024 * sizeof(float));
            _device.Launch("dot_partials", Suffix(a.DType), new(blocks), BlockThreads, 0, a, b, a.Count, partials);
            _device.Launch("add_partials", "f32", new(1), BlockThreads, 0, partials, blocks, result.Pointer + (index * sizeof(float)));
        }
    }

    /// <inheritdoc/>
    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWStep step)
    {
        Require(gradient.Count == master.Count && m.Count == master.Count && v.Count == master.Count);
        Require(master.DType == DType.Float32 && gradient.DType == DType.Float32);
        bool separate = !value.IsEmpty && value.Pointer != master.Pointer;
        Require(!separate || value.Count == master.Count);
        LaunchFlat(
            "adamw", Suffix(separate ? value.DType : DType.Float32), master.Count, 4,
            master, separate ? value : default, gradient, m, v, step.LearningRate, step.Beta1, step.Beta2, step.Epsilon, step.WeightDecay,
            step.GradientScale, Correction(step.Beta1, step.Step), Correction(step.Beta2, step.Step), master.Count);
    }

    private static float Correction(float beta, int step) => (float)(1 / (1 - Math.Pow(beta, step)));
}
