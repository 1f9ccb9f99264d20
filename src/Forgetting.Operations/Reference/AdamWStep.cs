using Forgetting.Backends;

namespace Forgetting.Operations.Reference;

/// <summary>Scalars of one step of AdamW (arXiv 1711.05101, algorithm 2).</summary>
/// <param name="LearningRate">Learning rate of this step.</param>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled decay.</param>
/// <param name="Step">Number of this update, from 1.</param>
/// <param name="GradientScale">Factor on the gradient.</param>
internal readonly record struct AdamWStep(
    float LearningRate, float Beta1, float Beta2, float Epsilon, float WeightDecay, int Step, float GradientScale)
{
    /// <summary>What a backend is given as arguments.</summary>
    public AdamWSettings Settings => new(Beta1, Beta2, Epsilon, WeightDecay);

    /// <summary>What a backend reads from a tensor.</summary>
    public float[] Numbers => Settings.Numbers(LearningRate, Step, GradientScale);
}
