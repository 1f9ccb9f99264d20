using System.Diagnostics;
using Forgetting.Backends;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// The gradients of a step whose micro-batches ranks share. After <see cref="Sum"/> each rank holds the sums over all of them: the whole,
/// or where ranks divide the optimiser's state or the gradients (<see cref="Decoder.Sharding"/>) its part. Where they divide the gradients,
/// those of a unit are summed as soon as a pass has come through it, and the memory serves another; all ranks then make as many passes.
/// On processors ranks exchange gradients behind the backward of the units below, to the same bits.
/// </summary>
internal sealed class SharedGradients : IDisposable
{
    /// <summary>Bytes of gradients that are exchanged at once, at least, while others are computed.</summary>
    public const long DefaultBucketBytes = 25_000_000;

    private readonly Decoder _decoder;
    private readonly RankExchange _exchange;
    private readonly RoundedSink? _rounded;
    private readonly ExchangeThread _thread = new();
    private readonly Queue<(Task Summed, ParameterRun[] Runs)> _passing = []; // of divided gradients, which are being summed
    private readonly long _bucketBytes;
    private readonly List<Parameter> _bucket = []; // to be summed with the next
    private int _below; // the last unit whose gradients are summed or in the bucket
    private bool _isLast;
    private long _waited; // Stopwatch ticks
    private (TimeSpan Taken, TimeSpan Waited) _told;

    /// <summary>Of a decoder, whose gradients it allocates.</summary>
    /// <param name="communicator">The ranks among which the decoder's parameters are divided, if they are.</param>
    /// <param name="type">Element type of the gradients of matrices and tables; of several ranks Float32.</param>
    /// <param name="bucketBytes">See <see cref="DefaultBucketBytes"/>.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public SharedGradients(
        ICommunicator communicator, Decoder decoder, DType type = DType.Float32, long bucketBytes = DefaultBucketBytes)
    {
        if (decoder.Sharding is { } sharding && (sharding.Rank, sharding.Ranks) != (communicator.Rank, communicator.Size))
            throw new ArgumentException("the model is divided among other ranks", nameof(decoder));

        _decoder = decoder;
        _bucketBytes = bucketBytes;
        _exchange = new RankExchange(communicator, decoder.Backend);
        decoder.AllocateGradients(type);
        if (type == DType.BFloat16)
            _rounded = new RoundedSink(decoder.Backend, decoder.Activations);

        _below = decoder.HeadUnit + 1;
        Sink = _rounded is not null
            ? _rounded : new AccumulateSink(decoder.Backend, IsSummedByUnit ? SumUnit : IsBehind ? Completed : null);
    }

    /// <summary>Where passes leave their gradients.</summary>
    public IGradientSink Sink { get; }

    /// <summary>Whether a rank holds the sums of its part alone.</summary>
    public bool IsDivided => _decoder.Sharding != null;

    /// <summary>What this rank holds of the sums.</summary>
    public IEnumerable<Tensor> Own => IsDivided
        ? _decoder.TrainableRuns.Select(run => run.OwnGradient)
        : _decoder.TrainableParameters.Select(parameter => parameter.Gradient);

    private bool IsSummedByUnit => _decoder.DividesGradients;

    // A card has one stream, and its passes are recorded, which what is exchanged within them cannot be.
    private bool IsBehind => _exchange.Communicator.Size > 1 && !_decoder.Backend.Records;

    /// <summary>Before every pass that leaves gradients.</summary>
    /// <param name="stepSeed">Of the step's random numbers.</param>
    /// <param name="first">Number of the pass' first example in the step.</param>
    public void BeginPass(ulong stepSeed, int first)
    {
        if (_rounded is null)
            return;

        (uint low, uint high, _, _) = Philox.Words(stepSeed, (uint)first, 0, 0, RandomDomain.Rounding);
        _rounded.Begin(((ulong)high << 32) | low);
    }

    /// <summary>Takes part in a pass of other ranks, without one of its own.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void Join()
    {
        for (int unit = _decoder.HeadUnit; unit >= 0 && IsSummedByUnit; unit--)
        {
            SumUnit(unit);
        }
    }

    /// <summary>Says that this rank's next pass is its last before <see cref="Sum"/>.</summary>
    public void BeginLast() => _isLast = true;

    /// <summary>Adds up over the ranks what their passes left.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void Sum()
    {
        if (_exchange.Communicator.Size == 1 || IsSummedByUnit)
            return;

        for (int unit = _below - 1; unit >= 0; unit--)
        {
            Take(unit);
        }

        SumBucket();
        Wait(_thread.Finish);
        (_below, _isLast) = (_decoder.HeadUnit + 1, false);
        SetZero(_decoder.TrainableParameters, false);
    }

    /// <summary>
    /// Time that ranks exchanged gradients behind passes since this was asked for last, and how much of it passes waited for; null where
    /// they do not.
    /// </summary>
    public (TimeSpan Taken, TimeSpan Waited)? TakeTimes()
    {
        if (!IsBehind)
            return null;

        (TimeSpan Taken, TimeSpan Waited) now = (_thread.Taken, Stopwatch.GetElapsedTime(0, _waited)), before = _told;
        _told = now;
        return (now.Taken - before.Taken, now.Waited - before.Waited);
    }

    /// <summary>Adds a number up over the ranks where each has a part of it.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public double Total(double own) => IsDivided ? _exchange.Communicator.Sum(own) : own;

    /// <inheritdoc/>
    public void Dispose() => _rounded?.Dispose();

    private void Completed(int unit)
    {
        if (_isLast)
            Take(unit);
    }

    // Buckets are the same on all ranks, whether they have a pass or not.
    private void Take(int unit)
    {
        _below = unit;
        _bucket.AddRange(_decoder.TrainableParameters.Where(parameter => parameter.Unit == unit));
        if (_bucket.Sum(parameter => parameter.Shape.Count) * sizeof(float) >= _bucketBytes)
            SumBucket();
    }

    private void SumBucket()
    {
        Parameter[] parameters = [.. _bucket];
        _bucket.Clear();
        if (parameters.Length == 0)
            return;

        Begin(IsDivided
            ? () => _exchange.ReduceScatter([.. Runs(parameters).Select(run => (run.Gradient, run.OwnGradient))])
            : () => _exchange.AllReduce([.. parameters.Select(parameter => parameter.Gradient)]));
    }

    // Ends when it is done: at once, where nothing is exchanged behind passes.
    private Task Begin(Action sum)
    {
        if (IsBehind)
            return _thread.Add(sum);

        sum();
        return Task.CompletedTask;
    }

    // Where ranks divide parameters, a run has those of one unit.
    private IEnumerable<ParameterRun> Runs(Parameter[] parameters) =>
        _decoder.TrainableRuns.Where(run => parameters.Contains(run.Parameters[0]));

    // The table of a tied head has a part of its gradient with the head and the rest with the embedding.
    private void SumUnit(int unit)
    {
        ParameterRun[] runs =
        [
            .. _decoder.TrainableRuns.Where(
                run => run.Unit == unit || (unit == _decoder.HeadUnit && _decoder.HeadIsTied && run.Unit == Decoder.EmbeddingUnit)),
        ];
        _passing.Enqueue((Begin(() => _exchange.ReduceScatter([.. runs.Select(run => (run.Gradient, run.Own(run.Gradient)))])), runs));

        // What the next unit's pass writes to must have been summed, and at the end of a pass everything.
        while (_passing.Count > 0
            && (unit == Decoder.EmbeddingUnit || _passing.Any(passing => _decoder.SharesGradients(passing.Runs, unit - 1))))
        {
            Keep();
        }
    }

    // Adds what was summed first to what this rank has, and clears its memory.
    private void Keep()
    {
        (Task summed, ParameterRun[] runs) = _passing.Dequeue();
        Wait(() => summed.GetAwaiter().GetResult());
        foreach (ParameterRun run in runs)
        {
            _decoder.Backend.Axpy(1, run.Own(run.Gradient), run.OwnGradient);
            _decoder.Backend.Fill(run.Gradient, 0);
            SetZero(run.Parameters, true);
        }
    }

    private void Wait(Action until)
    {
        long began = Stopwatch.GetTimestamp();
        until();
        _waited += Stopwatch.GetTimestamp() - began;
    }

    private static void SetZero(IReadOnlyList<Parameter> parameters, bool zero)
    {
        foreach (Parameter parameter in parameters)
        {
            parameter.HasZeroGradient = zero;
        }
    }
}
