
namespace Forgetting.Training;

/// <summary>How long is trained, in what steps, at what rates.</summary>
public sealed record ScheduleSettings
{
    /// <summary>Times the training set is passed through.</summary>
    [Setting("passes over the training set", Common = true, Range = "[1, ∞)")]
    public int Epochs { get; init; } = 1;

    /// <summary>Optimiser steps; null: as many as <see cref="Epochs"/> make.</summary>
    [Setting("optimiser steps, instead of epochs", Range = "[1, ∞)")]
    public int? Steps { get; init; }

    /// <summary>Sequences per optimiser step.</summary>
    [Setting("sequences per optimiser step", Common = true, Range = "[1, ∞)")]
    public int BatchSize { get; init; } = 24;

    /// <summary>How the learning rate falls after warm-up.</summary>
    [Setting("decay of the learning rate: linear, cosine or constant")]
    public LrScheduleKind LrSchedule { get; init; } = LrScheduleKind.Linear;

    /// <summary>Share of all steps in which the learning rate rises from 0.</summary>
    [Setting("share of the steps in which the learning rate rises", Range = "[0, 1]")]
    public double WarmupRatio { get; init; } = 0.03;
}
