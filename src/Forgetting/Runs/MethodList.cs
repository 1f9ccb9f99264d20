using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Methods.Unlearning;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>The methods there are; a new one is a folder under <c>Methods/</c> and a line here.</summary>
internal static class MethodList
{
    /// <summary>The methods that settings ask for, in the order in which they are applied; none for ordinary fine-tuning.</summary>
    public static IReadOnlyList<IMethod> Create(TrainingOptions options) =>
    [
        .. options.ScoresTokens ? [new TokenForgettingMethod(options)] : Array.Empty<IMethod>(),
        .. options.Unlearns ? [new LearningWithForgettingMethod(options)] : Array.Empty<IMethod>(),
        .. options.Method == TrainingMethod.Unlearn ? [new UnlearningMethod(options)] : Array.Empty<IMethod>(),
    ];
}
