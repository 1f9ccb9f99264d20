using Forgetting.Backends;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// The gradients of a step whose micro-batches ranks share. After <see cref="Sum"/> each rank holds the sums over all of them: the whole,
/// or where ranks divide the optimiser's state or the gradients (<see cref="Decoder.Sharding"/>) its part. Where they divide the gradients,
/// those of a unit are summed as soon as a pass has come through it, and the memory serves the next; all ranks then make as many passes.
/// </summary>
internal sealed class SharedGradients : IDisposable
{
    private readonly Decoder _decoder;
    private readonly RankExchange _exchange;
    private readonly RoundedSink? _rounded;

    /// <summary>Of a decoder, whose gradients it allocates.</summary>
    /// <param name="communicator">The ranks among which the decoder's parameters are divided, if they are.</param>
    /// <param name="type">Element type of the gradients of matrices and tables.</param>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public SharedGradients(ICommunicator communicator, Decoder decoder, DType type = DType.Float32)
    {
        if (decoder.Sharding is { } sharding && (sharding.Rank, sharding.Ranks) != (communicator.Rank, communicator.Size))
            throw new ArgumentException("the model is divided among other ranks", nameof(decoder));

        _decoder = decoder;
        _exchange = new RankExchange(communicator, decoder.Backend);
        decoder.AllocateGradients(type);
        if (type == DType.BFloat16)
            _rounded = new RoundedSink(decoder.Backend, decoder.Activations);

        Sink = _rounded is not null ? _rounded : new AccumulateSink(decoder.Backend, IsSummedByUnit ? SumUnit : null);
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

    /// <summary>Adds up over the ranks what their passes left.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void Sum()
    {
        if (_exchange.Communicator.Size == 1 || IsSummedByUnit)
            return;

        if (IsDivided)
            _exchange.ReduceScatter([.. _decoder.TrainableRuns.Select(run => (run.Gradient, run.OwnGradient))]);
        else
            _exchange.AllReduce([.. Own]);

        SetZero(_decoder.TrainableParameters, false);
    }

    /// <summary>Adds a number up over the ranks where each has a part of it.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public double Total(double own) => IsDivided ? _exchange.Communicator.Sum(own) : own;

    /// <inheritdoc/>
    public void Dispose() => _rounded?.Dispose();

    // The table of a tied head has a part of its gradient with the head and the rest with the embedding.
    private void SumUnit(int unit)
    {
        ParameterRun[] runs =
        [
            .. _decoder.TrainableRuns.Where(
                run => run.Unit == unit || (unit == _decoder.HeadUnit && _decoder.HeadIsTied && run.Unit == Decoder.EmbeddingUnit)),
        ];
        _exchange.ReduceScatter([.. runs.Select(run => (run.Gradient, run.Own(run.Gradient)))]);
        foreach (ParameterRun run in runs)
        {
            _decoder.Backend.Axpy(1, run.Own(run.Gradient), run.OwnGradient);
            _decoder.Backend.Fill(run.Gradient, 0);
            SetZero(run.Parameters, true);
        }
    }

    private static void SetZero(IReadOnlyList<Parameter> parameters, bool zero)
    {
        foreach (Parameter parameter in parameters)
        {
            parameter.HasZeroGradient = zero;
        }
    }
}
