namespace Forgetting.Training;

/// <summary>
/// λ of each step, the weight of the negative term (arXiv 2508.04329, section 4): λ(k) = t_min + (t_max − t_min)·k/K with k the steps
/// already done and K all steps. With <see cref="Compatibility.Paper"/>, λ(k) = t_max·k/K with k restarting every epoch while K counts all
/// epochs, as the paper's program has it.
/// </summary>
/// <remarks>
/// Adaptive: the linear λ, held below a bound. A measurement gives the norms a of the positive term's gradient and b of the negative
/// term's at λ = 1; the negative gradient's norm is λ·b, so λ may reach fraction·a/b until the next measurement. The bound enters
/// with the step after the measurement.
/// </remarks>
internal sealed class LambdaSchedule
{
    private readonly LambdaKind _kind;
    private readonly double _least;
    private readonly double _most;
    private readonly double _fraction;
    private readonly int _steps;
    private readonly int _stepsPerEpoch;

    /// <summary>The schedule of a run.</summary>
    /// <param name="steps">K, all optimiser steps.</param>
    /// <param name="stepsPerEpoch">Optimiser steps of one pass over the data.</param>
    public LambdaSchedule(TrainingOptions options, int steps, int stepsPerEpoch)
    {
        bool paper = options.Compat == Compatibility.Paper;
        _kind = options.TokenForgetting.Lambda;
        _least = paper ? 0 : options.TokenForgetting.LambdaMin;
        _most = options.TokenForgetting.LambdaMax;
        _fraction = options.TokenForgetting.LambdaFraction;
        _steps = steps;
        _stepsPerEpoch = stepsPerEpoch;
        Restarts = paper;
    }

    /// <summary>True where k starts again from 0 every epoch.</summary>
    public bool Restarts { get; }

    /// <summary>Largest λ that the last measurement allows; infinite before the first, and unless λ is adaptive.</summary>
    public double Bound { get; set; } = double.PositiveInfinity;

    /// <summary>λ of step <paramref name="step"/>, from 0.</summary>
    public double At(int step)
    {
        int k = Restarts ? step % _stepsPerEpoch : step;
        double planned = _kind == LambdaKind.Constant ? _most : _least + (_most - _least) * k / _steps;
        return Math.Min(planned, Bound);
    }

    /// <summary>
    /// What λ weighed over a run: its mean with each step weighted by the learning rate, which falls while λ
    /// rises; null where it was 0 throughout.
    /// </summary>
    public static double? Effective(IReadOnlyList<StepMetrics> steps)
    {
        double rates = steps.Sum(s => s.LearningRate);
        return rates > 0 && steps.Any(s => s.Lambda > 0) ? steps.Sum(s => s.Lambda * s.LearningRate) / rates : null;
    }

    /// <summary>Takes a measurement into account; nothing happens unless λ is adaptive.</summary>
    /// <param name="positiveNorm">Norm of the positive term's gradient.</param>
    /// <param name="negativeNorm">Norm of the negative term's gradient at λ = 1.</param>
    public void Measure(double positiveNorm, double negativeNorm)
    {
        if (_kind == LambdaKind.Adaptive)
            Bound = negativeNorm > 0 ? _fraction * positiveNorm / negativeNorm : double.PositiveInfinity;
    }
}
