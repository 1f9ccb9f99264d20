namespace Forgetting.Distributed;

/// <summary>
/// What the processes of one run, its ranks, say to each other. All ranks call the same members in the same order; each call returns when
/// all that it needs of the others is here. Every call ends: where another rank fails or gives no sign of life for too long, by an
/// exception.
/// </summary>
internal interface ICommunicator : IDisposable
{
    /// <summary>Number of this process, from 0. Rank 0 alone writes files and prints.</summary>
    int Rank { get; }

    /// <summary>Number of processes.</summary>
    int Size { get; }

    /// <summary>
    /// Replaces each element by its sum over the ranks, added in the order of ranks: the same bits on all ranks and in every run of as
    /// many.
    /// </summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    void AllReduce(Span<float> values);

    /// <summary>Sums over the ranks, added in the order of ranks, of one part of the elements for each rank.</summary>
    /// <param name="values">A part for each rank, in the order of ranks; all have the length of <paramref name="own"/>.</param>
    /// <param name="own">Receives the sums of this rank's part; it may be that part of <paramref name="values"/>.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    void ReduceScatter(ReadOnlySpan<float> values, Span<float> own);

    /// <summary>What all ranks have, each as many bytes, in the order of ranks.</summary>
    /// <param name="own">What this rank has; it may be its part of <paramref name="all"/>.</param>
    /// <param name="all">Receives a part of the length of <paramref name="own"/> from each rank.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    void AllGather(ReadOnlySpan<byte> own, Span<byte> all);

    /// <summary>The bytes of all ranks, of any lengths, in the order of ranks.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    byte[][] Gather(ReadOnlySpan<byte> own);
}

/// <summary>What follows from the members of a communicator.</summary>
internal static class Communicators
{
    /// <summary>Whether this is the rank that writes files and prints.</summary>
    public static bool IsFirst(this ICommunicator communicator) => communicator.Rank == 0;

    /// <summary>The bytes of rank 0; those of the others are not looked at.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static byte[] Broadcast(this ICommunicator communicator, ReadOnlySpan<byte> first) =>
        communicator.Gather(communicator.IsFirst() ? first : [])[0];

    /// <summary>Waits until all ranks are here.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void Barrier(this ICommunicator communicator) => communicator.Gather([]);

    /// <summary>The sum over the ranks, added in their order.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static double Sum(this ICommunicator communicator, double own) =>
        communicator.Gather(BitConverter.GetBytes(own)).Sum(bytes => bytes.Length == 0 ? 0 : BitConverter.ToDouble(bytes));

    /// <summary>Whether it is so on any rank.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static bool Any(this ICommunicator communicator, bool own) =>
        communicator.Gather(own ? [1] : []).Any(bytes => bytes.Length > 0);
}
