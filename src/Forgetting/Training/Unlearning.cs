using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>What the unlearning steps before a learning step found.</summary>
/// <param name="Loss">Mean cross-entropy of the samples' response tokens, nats, before the update.</param>
/// <param name="GradNorm">Largest gradient norm before clipping.</param>
/// <param name="Examples">Indices of the samples.</param>
internal sealed record UnlearningMetrics(double Loss, double GradNorm, IReadOnlyList<int> Examples);

/// <summary>
/// Unlearning steps (arXiv 2505.19715): the gradient of −w/n on a batch of the set D_U, clipped to a norm of its own, through the optimiser of the learning steps. All is a function of
/// the learning step's number, so a resumed run needs no further state.
/// </summary>
internal sealed class Unlearning : IDisposable
{
    private readonly TrainingSet _set;
    private readonly TrainingOptions _options;
    private readonly TrainingStep _step;
    private readonly DataOrder _order;
    private readonly UnlearningSchedule _schedule;
    private readonly int _learningSteps;

    public Unlearning(Decoder decoder, TrainingSet set, TrainingOptions options, int learningSteps)
    {
        _set = set;
        _options = options;
        _learningSteps = learningSteps;
        _schedule = new UnlearningSchedule(options, learningSteps);

        // With no positive tokens, the signed objective with λ = w is −w/n on all; the ascent's kind applies.
        _step = new TrainingStep(decoder, options with { Method = TrainingMethod.Forget, Compat = Compatibility.None });
        _order = new DataOrder(set.Examples.Count, options.Unlearning.BatchSize ?? options.Schedule.BatchSize, ~options.Seed, shuffle: true);
    }

    /// <summary>Takes the steps that are due before learning step <paramref name="k"/>; null when none is.</summary>
    /// <exception cref="NonFiniteException">A loss or gradient is not finite.</exception>
    public UnlearningMetrics? Apply(int k, AdamWOptimizer optimizer, LearningRateSchedule learningRate)
    {
        double sum = 0, norm = 0;
        double tokens = 0;
        var examples = new List<int>();
        foreach (int number in _schedule.Before(k))
        {
            ReadOnlySpan<int> chosen = _order.At(number);
            _step.Begin(_set, chosen, _learningSteps + number);
            StepLosses losses = _step.Accumulate(_options.Unlearning.Weight);
            double own = _step.GradientNorm();
            optimizer.Step(learningRate.At(_schedule.RateOf(number)), Trainer.ClipScale(_options.Unlearning.Clip, own));
            sum += losses.NegativeSum;
            tokens += losses.Mass.Negative;
            norm = Math.Max(norm, own);
            foreach (int place in chosen)
            {
                examples.Add(_set.Examples[place].Index);
            }
        }

        return examples.Count == 0 ? null : new UnlearningMetrics(sum / tokens, norm, examples);
    }

    /// <inheritdoc/>
    public void Dispose() => _step.Dispose();
}
