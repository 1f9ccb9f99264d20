using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Methods.Unlearning;
using Forgetting.Runs;
using Forgetting.Training;

[assembly: MethodList]

namespace Forgetting.Runs;

/// <summary>The methods there are; a new one is a folder under <c>Methods/</c> and a line here.</summary>
internal sealed class MethodList : MethodSource
{
    /// <summary>The methods, in the order in which they are named and applied.</summary>
    public static IReadOnlyList<NamedMethod> All { get; } =
    [
        PlainTuning.Full,
        TokenForgettingMethod.Ignore,
        TokenForgettingMethod.Forget,
        LearningWithForgettingMethod.Lwf,
        UnlearningMethod.Unlearn,
    ];

    /// <inheritdoc/>
    public override IReadOnlyList<TrainingMethod> Methods => All;

    /// <summary>The methods that settings ask for, in the order in which they are applied; none for ordinary fine-tuning.</summary>
    public static IReadOnlyList<IMethod> Create(TrainingOptions options) =>
        [.. All.Where(m => m.AppliesTo(options)).Select(m => m.Create!(options))];
}
