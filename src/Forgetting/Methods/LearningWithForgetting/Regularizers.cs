using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>The further term of the objective that a run's settings ask for.</summary>
internal static class Regularizers
{
    /// <summary>The term, or null for none.</summary>
    /// <exception cref="UserException">The model has no such block.</exception>
    public static IStepRegularizer? Create(OptimizerSettings settings, ModelConfig model) => settings.Regularizer switch
    {
        RegularizerKind.Bss => new SpectralShrinkage(settings.ResolveRegularizerWeight(), settings.RegularizerCount),
        RegularizerKind.Srs => new StableRankShrinkage(
            settings.ResolveRegularizerWeight(), settings.RegularizerNoise,
            Block(settings.RegularizerBlock ?? model.Layers / 2, model.Layers), model.Layers),
        _ => null,
    };

    private static int Block(int block, int blocks) =>
        block < blocks ? block : throw new UserException($"regularizer-block is {block}, expected at most {blocks - 1}, the model's last");
}
