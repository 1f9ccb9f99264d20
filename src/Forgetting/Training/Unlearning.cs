using Forgetting.Distributed;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>What the unlearning steps before a learning step found.</summary>
/// <param name="Loss">Mean cross-entropy of the samples' response tokens, nats, before the update.</param>
/// <param name="GradNorm">Largest norm of the gradient of that mean, before weight and clip: comparable with the learning steps'.</param>
/// <param name="Examples">Indices of the samples.</param>
internal sealed record UnlearningMetrics(double Loss, double GradNorm, IReadOnlyList<int> Examples);

/// <summary>
/// Unlearning steps (arXiv 2505.19715): ascent on a batch of the set D_U, its gradient clipped to a norm of its own. With moments of its
/// own the optimiser's step is w times a learning step; through the moments of the learning steps goes the gradient of −w/n. Which samples
/// and when are functions of the learning step's number.
/// </summary>
internal sealed class Unlearning : IDisposable
{
    private readonly TrainingSet _set;
    private readonly TrainingOptions _options;
    private readonly TrainingStep _step;
    private readonly DataOrder _order;
    private readonly UnlearningSchedule _schedule;
    private readonly int _learningSteps;
    private readonly double _weight;
    private readonly AdamWOptimizer? _own;

    public Unlearning(
        Decoder decoder, TrainingSet set, TrainingOptions options, int learningSteps, ICommunicator? communicator = null,
        RankExchange? exchange = null)
    {
        _set = set;
        _options = options;
        _learningSteps = learningSteps;
        _schedule = new UnlearningSchedule(options, learningSteps);

        _weight = options.ResolveUnlearningWeight();
        if (options.ResolveMoments() == UnlearningMoments.Own)
        {
            // Learning steps decay the weights.
            _own = new AdamWOptimizer(
                decoder.Backend, decoder.TrainableParameters, options with { Optimizer = options.Optimizer with { WeightDecay = 0 } },
                exchange, number: 1);
        }

        // With no positive tokens, the signed objective with λ = w is −w/n on all; the ascent's kind applies.
        _step = new TrainingStep(
            decoder, options with { Method = TrainingMethod.Forget, Compat = Compatibility.None }, communicator: communicator);
        _order =
            new DataOrder(set.Examples.Count, options.Unlearning.BatchSize ?? options.Schedule.BatchSize, ~options.Seed, shuffle: true);
    }

    /// <summary>The optimiser of these steps alone, whose moments a checkpoint must keep; null where they have none of their own.</summary>
    public AdamWOptimizer? Own => _own;

    /// <summary>Tells how many learning steps were done before.</summary>
    public void Resume(int learningSteps)
    {
        if (_own != null)
            _own.Updates = Enumerable.Range(0, learningSteps).Sum(k => _schedule.Before(k).Count());
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
            double weight = _own is null ? _weight : 1, rate = learningRate.At(_schedule.RateOf(number));
            StepLosses losses = _step.Accumulate(weight);
            double taken = _step.GradientNorm(), clip = Trainer.ClipScale(_options.Unlearning.Clip, taken);
            if (_own is null)
                optimizer.Step(rate, clip);
            else
                _own.Step(_weight * rate, clip);

            sum += losses.NegativeSum;
            tokens += losses.Mass.Negative;
            norm = Math.Max(norm, taken / weight);
            foreach (int place in chosen)
            {
                examples.Add(_set.Examples[place].Index);
            }
        }

        return examples.Count == 0 ? null : new UnlearningMetrics(sum / tokens, norm, examples);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _own?.Dispose();
        _step.Dispose();
    }
}
