using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>
/// Ranks without MPI: every one has a connection to the first, which puts together what all say. For cards it carries little, the rest goes
/// by NCCL; on CPUs MPI is faster where there are many ranks.
/// </summary>
internal sealed class TcpCommunicator : IProcessGroup
{
    private const int PieceFloats = 1 << 20;
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(20), s_farewell = TimeSpan.FromSeconds(2);

    private readonly TimeSpan _deadline;
    private readonly TcpPeer[] _peers; // of the first all others in order; of the others the first alone
    private readonly Timer _alive;
    private bool _isTold;

    /// <summary>Joins the other ranks; returns when all are there.</summary>
    /// <param name="deadline">For how long a rank may give no sign of life, or not come.</param>
    /// <exception cref="UserException">A rank does not come.</exception>
    public TcpCommunicator(RankEnvironment environment, TimeSpan deadline)
    {
        (Rank, Size, _deadline) = (environment.Rank, environment.Size, deadline);
        _peers = Rank == 0 ? TcpMeeting.Receive(environment, deadline) : [TcpMeeting.Reach(environment, deadline)];
        var interval = TimeSpan.FromMilliseconds(Math.Clamp(deadline.TotalMilliseconds / 5, 50, 10_000));
        _alive = new Timer(_ => Array.ForEach(_peers, peer => peer.Send(TcpMessage.Alive, [])), null, interval, interval);
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Size { get; }

    /// <inheritdoc/>
    public void AllReduce(Span<float> values)
    {
        for (int done = 0; done < values.Length; done += PieceFloats)
        {
            Span<float> piece = values.Slice(done, Math.Min(values.Length - done, PieceFloats));
            Span<byte> bytes = MemoryMarshal.AsBytes(piece);
            if (Rank == 0)
            {
                foreach (TcpPeer peer in _peers)
                {
                    TensorPrimitives.Add(piece, MemoryMarshal.Cast<byte, float>(Receive(peer)), piece);
                }

                Tell(bytes);
            }
            else
            {
                Tell(bytes);
                Receive(_peers[0]).CopyTo(bytes);
            }
        }
    }

    /// <inheritdoc/>
    public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own)
    {
        float[] sums = values.ToArray();
        AllReduce(sums);
        sums.AsSpan(Rank * own.Length, own.Length).CopyTo(own);
    }

    /// <inheritdoc/>
    public void AllGather(ReadOnlySpan<byte> own, Span<byte> all)
    {
        int length = own.Length;
        foreach ((int rank, byte[] part) in Gather(own).Index())
        {
            part.CopyTo(all[(rank * length)..]);
        }
    }

    /// <inheritdoc/>
    public byte[][] Gather(ReadOnlySpan<byte> own)
    {
        if (Rank > 0)
        {
            Tell(own);
            return Apart(Receive(_peers[0]));
        }

        byte[][] all = [own.ToArray(), .. _peers.Select(Receive)];
        Tell(Together(all));
        return all;
    }

    /// <inheritdoc/>
    public void CheckPeers()
    {
        foreach (TcpPeer peer in _peers)
        {
            Check(peer);
        }
    }

    /// <inheritdoc/>
    public void Close() => this.Barrier();

    /// <inheritdoc/>
    public bool Fail(string line, int exitCode)
    {
        bool isGone = Rank > 0 && _peers[0].IsGone;
        byte[] text = Encoding.UTF8.GetBytes(line);
        var message = new byte[sizeof(int) + text.Length];
        BinaryPrimitives.WriteInt32LittleEndian(message, exitCode);
        text.CopyTo(message, sizeof(int));
        foreach (TcpPeer peer in _peers)
        {
            peer.Send(TcpMessage.Failure, message);
        }

        // Of several that fail at once the first speaks, and where that is gone the second.
        if (Rank > 0)
            SpinWait.SpinUntil(() => _isTold || _peers[0].Failure != null, s_farewell);

        return !_isTold && (Rank == 0 || (_peers[0].Failure is null && (!isGone || Rank == 1)));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _alive.Dispose();
        Array.ForEach(_peers, peer => peer.Dispose());
    }

    private static byte[] Together(byte[][] all)
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        foreach (byte[] part in all)
        {
            writer.Write(part.Length);
            writer.Write(part);
        }

        return stream.ToArray();
    }

    private byte[][] Apart(byte[] bytes)
    {
        using var reader = new BinaryReader(new MemoryStream(bytes));
        return [.. Enumerable.Range(0, Size).Select(_ => reader.ReadBytes(reader.ReadInt32()))];
    }

    private void Tell(ReadOnlySpan<byte> bytes)
    {
        foreach (TcpPeer peer in _peers)
        {
            peer.Send(TcpMessage.Data, bytes);
        }
    }

    private byte[] Receive(TcpPeer peer)
    {
        while (true)
        {
            if (peer.Take(s_look) is { } message)
                return message;

            // A rank that is lost takes the others with it, whoever is waited for.
            try
            {
                CheckPeers();
            }
            catch (PeerException)
            {
                // What it sent before it ended counts.
                if (peer.Take(TimeSpan.Zero) is { } last)
                    return last;

                throw;
            }
        }
    }

    private void Check(TcpPeer peer)
    {
        bool gone = peer.IsGone; // before what it said
        if (peer.Failure is { } failure)
        {
            _isTold = true;
            throw new PeerException(
                Encoding.UTF8.GetString(failure.AsSpan(sizeof(int))), BinaryPrimitives.ReadInt32LittleEndian(failure));
        }

        if (gone)
            throw PeerException.OfLoss($"rank {peer.Rank} has ended without a word");

        if (peer.Silence > _deadline)
            throw PeerException.OfSilence(peer.Rank, _deadline);
    }
}
