using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>The further term of the objective that a run's settings ask for.</summary>
internal static class Regularizers
{
    /// <summary>The term, or null for none.</summary>
    public static IStepRegularizer? Of(OptimizerSettings settings, ModelConfig model) => settings.Regularizer switch
    {
        RegularizerKind.Bss => new SpectralShrinkage(settings.ResolveRegularizerWeight(), settings.RegularizerCount),
        RegularizerKind.Srs => new StableRankShrinkage(
            settings.ResolveRegularizerWeight(), settings.RegularizerNoise, Math.Min(settings.RegularizerBlock ?? model.Layers / 2, model.Layers - 1), model.Layers),
        _ => null,
    };
}
