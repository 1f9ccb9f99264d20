using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>The card of a rank, as far as a communicator has to know it.</summary>
/// <param name="Library">Path of a library that has NCCL's functions; null for NCCL itself.</param>
/// <param name="Name">What tells it from all other cards of the machine; empty where ranks may share one.</param>
/// <param name="Stream">Handle of the stream on which it works.</param>
/// <param name="MakeCurrent">Makes it the calling thread's card.</param>
/// <param name="Synchronize">Waits until it has done all that was asked of it.</param>
internal sealed record RankCard(string? Library, string Name, nint Stream, Action MakeCurrent, Action Synchronize);

/// <summary>
/// Ranks that each have a card, connected by NCCL for what lies on the cards, and by processes' own means for what lies on the host: by
/// these the communicator's name travels, and these tell of a rank that is lost. While the card waits for others, a thread looks after
/// them: where one is lost it aborts what is under way.
/// </summary>
internal sealed class NcclCommunicator : ICommunicator
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100);

    private readonly IProcessGroup _host;
    private readonly RankCard _card;
    private readonly NcclLibrary _library;
    private readonly nint _communicator;
    private readonly Lock _looking = new();
    private readonly Timer _watch;
    private bool _isWaiting;
    private PeerException? _failure;

    /// <summary>Joins the cards of all ranks; returns when all have come.</summary>
    /// <exception cref="UserException">NCCL is not found, or two ranks have the same card.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public NcclCommunicator(IProcessGroup host, RankCard card)
    {
        (_host, _card, _library) = (host, card, new NcclLibrary(card.Library));
        CheckCards();
        byte[] id = host.Broadcast(host.IsFirst() ? _library.NewId() : []);
        _communicator = Join(id);
        _watch = new Timer(_ => Look(), null, s_look, s_look);
    }

    /// <inheritdoc/>
    public int Rank => _host.Rank;

    /// <inheritdoc/>
    public int Size => _host.Size;

    /// <inheritdoc/>
    public void AllReduce(Span<float> values) => _host.AllReduce(values);

    /// <inheritdoc/>
    public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own) => _host.ReduceScatter(values, own);

    /// <inheritdoc/>
    public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => _host.AllGather(own, all);

    /// <inheritdoc/>
    public byte[][] Gather(ReadOnlySpan<byte> own) => _host.Gather(own);

    /// <summary>Sums of Float32 elements over the ranks, in place, each with its address on the card; waits for them.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void AllReduce(IReadOnlyList<(nint Values, long Count)> parts) => Wait(() => _library.Group(() =>
    {
        foreach ((nint values, long count) in parts)
        {
            _library.AllReduce(values, count, _communicator, _card.Stream);
        }
    }));

    /// <summary>Sums of one part of the elements for each rank, on the card; waits for them.</summary>
    /// <param name="count">Elements of a part.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void ReduceScatter(nint values, nint own, long count) =>
        Wait(() => _library.ReduceScatter(values, own, count, _communicator, _card.Stream));

    /// <summary>What all ranks have on their cards, each as many bytes, in the order of ranks; waits for it.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void AllGather(nint own, nint all, long bytes) =>
        Wait(() => _library.AllGather(own, all, bytes, _communicator, _card.Stream));

    /// <summary>What one rank has on its card, in place; waits for it.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void Broadcast(nint values, long bytes, int root) =>
        Wait(() => _library.Broadcast(values, bytes, root, _communicator, _card.Stream));

    /// <inheritdoc/>
    public void Dispose()
    {
        using (var stopped = new ManualResetEvent(false))
        {
            if (_watch.Dispose(stopped))
                stopped.WaitOne();
        }

        if (_failure is null)
            _library.Destroy(_communicator);
    }

    // NCCL wants a card for each rank.
    private void CheckCards()
    {
        string own = _card.Name.Length == 0 ? "" : $"{_card.Name} of {Environment.MachineName}";
        string[] all = _host.Gather(own);
        int other = Array.IndexOf(all, own);
        if (own.Length > 0 && other < Rank)
            throw new UserException($"{own} is that of rank {other} too, expected a card for each rank");
    }

    // Another thread does it, as it does not end where a rank does not come.
    private nint Join(byte[] id)
    {
        var joining = Task.Factory.StartNew(
            () =>
            {
                _card.MakeCurrent();
                return _library.Join(id, Rank, Size);
            }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        while (!((IAsyncResult)joining).AsyncWaitHandle.WaitOne(s_look))
        {
            _host.CheckPeers();
        }

        return joining.GetAwaiter().GetResult();
    }

    private void Wait(Action collective)
    {
        _card.MakeCurrent();
        Volatile.Write(ref _isWaiting, true);
        try
        {
            collective();
            _card.Synchronize();
        }
        catch (PeerException own)
        {
            // What one call says of a rank that is lost is less than what was found out about it.
            Look();
            lock (_looking)
            {
                throw _failure ?? own;
            }
        }
        finally
        {
            Volatile.Write(ref _isWaiting, false);
        }

        lock (_looking)
        {
            if (_failure is { } failure)
                throw failure;
        }
    }

    private void Look()
    {
        lock (_looking)
        {
            if (!Volatile.Read(ref _isWaiting) || _failure != null)
                return;

            try
            {
                _host.CheckPeers();
                if (_library.Failure(_communicator) is { } text)
                    _failure = PeerException.OfLoss($"NCCL: {text}");
            }
            catch (PeerException lost)
            {
                _failure = lost;
            }

            if (_failure is null)
                return;

            _library.Abort(_communicator);
        }
    }
}
