
namespace Forgetting.Training;

/// <summary>
/// Learning rate of each step: from 0 in a straight line over the warm-up, then down as <see cref="LrScheduleKind"/> says. The same values
/// as transformers' <c>get_{linear,cosine,constant}_schedule_with_warmup</c>, where step 0 of a warm-up has rate 0; but a run of one step
/// does not warm up, since at rate 0 it would learn nothing.
/// </summary>
internal sealed class LearningRateSchedule
{
    private readonly LrScheduleKind _kind;
    private readonly double _peak;
    private readonly int _steps;

    /// <summary>A schedule over <paramref name="steps"/> optimiser steps.</summary>
    /// <param name="warmupRatio">Share of the steps to warm up in; rounded up to whole steps as in transformers' trainer.</param>
    /// <param name="compatibility">With <see cref="Compatibility.Paper"/> the warm-up is rounded down, as in open-instruct's training
    /// script, which the paper's program follows.</param>
    public LearningRateSchedule(
        LrScheduleKind kind, double peak, double warmupRatio, int steps, Compatibility compatibility = Compatibility.None)
    {
        _kind = kind;
        _peak = peak;
        _steps = steps;

        // In decimal, since 0.07 · 100 in binary is a little more than 7 and would round up to 8.
        decimal warmup = (decimal)warmupRatio * steps;
        WarmupSteps = steps == 1 ? 0 : (int)(compatibility == Compatibility.Paper ? Math.Floor(warmup) : Math.Ceiling(warmup));
    }

    /// <summary>Steps of the warm-up.</summary>
    public int WarmupSteps { get; }

    /// <summary>Learning rate of step <paramref name="step"/>, from 0.</summary>
    public double At(int step)
    {
        if (step < WarmupSteps)
            return _peak * step / WarmupSteps;

        double progress = (double)(step - WarmupSteps) / Math.Max(1, _steps - WarmupSteps);
        return _kind switch
        {
            LrScheduleKind.Linear => _peak * Math.Max(0, 1 - progress),
            LrScheduleKind.Cosine => _peak * 0.5 * (1 + Math.Cos(Math.PI * Math.Min(1, progress))),
            _ => _peak,
        };
    }
}
