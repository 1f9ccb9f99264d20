using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>What a method makes of a run's examples.</summary>
public sealed record MethodResult
{
    internal MethodResult(TrainingSet set) => Set = set;

    /// <summary>
    /// Per example, per token: 1 learnt, −1 forgotten (or ignored, as <see cref="TrainingOptions.Method"/> says), 0 left out. Tokens that
    /// are no response (<see cref="MethodRun.Responses"/>) have 0.
    /// </summary>
    public IReadOnlyList<sbyte[]> Signs
    {
        get => Set.Signs;
        init => Set = Set with { Signs = value };
    }

    /// <summary>What is learnt and forgotten in ordinary steps.</summary>
    internal TrainingSet Set { get; init; }

    /// <summary>What unlearning steps in between forget; null for no such steps.</summary>
    internal TrainingSet? Unlearned { get; init; }

    /// <summary>What the summary says of how signs and samples came to be.</summary>
    internal MethodSummary Summary { get; init; } = new();
}

/// <summary>A method's part in a run's summary; each is null where it has no meaning.</summary>
internal sealed record MethodSummary
{
    /// <summary>Where influence came from.</summary>
    public string? Reference { get; init; }

    /// <summary>What tokens were ranked by.</summary>
    public string? Score { get; init; }

    /// <summary>Score of the last positive token.</summary>
    public double? Cut { get; init; }

    /// <summary>What the negative tokens are to base and reference.</summary>
    public Diagnosis? Diagnosis { get; init; }

    /// <summary>Whether the reference has learnt the task.</summary>
    public ReferenceCheck? ReferenceCheck { get; init; }

    /// <summary>Whether the reference's examples agree with each other.</summary>
    public ReferenceQuality? ReferenceQuality { get; init; }

    /// <summary>What unlearning steps forget.</summary>
    public UnlearningSummary? Unlearning { get; init; }
}
