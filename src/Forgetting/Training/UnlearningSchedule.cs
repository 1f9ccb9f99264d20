using Forgetting.Core;

namespace Forgetting.Training;

/// <summary>
/// Where among the learning steps the unlearning steps are (arXiv 2505.19715, "periodic unlearning", and its ablations). Every kind
/// takes equally many steps, at the learning rates that the periodic ones have, so that runs differ in nothing but the places; only a
/// random place has its own learning rate.
/// </summary>
internal sealed class UnlearningSchedule
{
    private readonly UnlearningScheduleKind _kind;
    private readonly int _interval;
    private readonly int[] _places = []; // of the random kind, ascending

    /// <summary>A schedule.</summary>
    /// <param name="options">Kind, interval and seed.</param>
    /// <param name="steps">All learning steps.</param>
    /// <exception cref="UserException">The interval leaves no room for an unlearning step.</exception>
    public UnlearningSchedule(TrainingOptions options, int steps)
    {
        _kind = options.Unlearning.Schedule;
        _interval = options.Unlearning.Interval;
        Count = (steps - 1) / _interval;
        if (Count == 0)
        {
            string lower = steps > 1 ? $"a forget-interval below {steps}, or " : "";
            throw new UserException(
                $"forget-interval is {_interval} with {steps} learning step{(steps == 1 ? "" : "s")}, which leaves no unlearning step; "
                + $"expected {lower}more learning steps: raise epochs or steps, or lower batch-size");
        }

        if (_kind == UnlearningScheduleKind.Random)
        {
            // Stream 2³² − 2 is no epoch's.
            _places = DataOrder.Permutation(steps, options.Seed, uint.MaxValue - 1)[..Count];
            Array.Sort(_places);
        }
    }

    /// <summary>Unlearning steps of the whole run.</summary>
    public int Count { get; }

    /// <summary>Numbers, from 0, of the unlearning steps right before learning step <paramref name="k"/>, from 0.</summary>
    public IEnumerable<int> Before(int k) => _kind switch
    {
        UnlearningScheduleKind.Upfront => k == 0 ? Enumerable.Range(0, Count) : [],
        UnlearningScheduleKind.Random => Array.BinarySearch(_places, k) is var place and >= 0 ? [place] : [],
        _ => k > 0 && k % _interval == 0 ? [k / _interval - 1] : [],
    };

    /// <summary>The learning step whose learning rate an unlearning step has.</summary>
    public int RateOf(int number) => _kind == UnlearningScheduleKind.Random ? _places[number] : (number + 1) * _interval;
}
