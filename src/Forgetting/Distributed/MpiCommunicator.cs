using System.Diagnostics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text;
using Forgetting.Core;

namespace Forgetting.Distributed;

/// <summary>
/// Ranks that MPI connects, by messages from one to another alone: the order of sums is this program's and not the library's, and every
/// wait can be given up. While a process lives it tells the others so several times within the deadline, however long it is busy with work
/// of its own; who waits for a rank waits until that has been silent for the deadline.
/// </summary>
internal sealed unsafe class MpiCommunicator : IProcessGroup
{
    private const int DataTag = 1;
    private const int AliveTag = 2;
    private const int FailureTag = 3;
    private const int PieceFloats = 1 << 18;
    private const int AtOnceFloats = 1 << 26; // of all ranks
    private const int NoticeBytes = 4096;
    private static readonly TimeSpan s_farewell = TimeSpan.FromSeconds(2);

    private readonly MpiLibrary _library;
    private readonly TimeSpan _deadline;
    private readonly Lock _calls = new(); // of the library
    private readonly Timer _alive;
    private readonly int _piece; // floats of one rank at once
    private readonly long[] _heard; // of each rank, when last
    private readonly nint[] _signs; // requests of the signs of life that are on their way
    private readonly int* _own; // this rank's number, what a sign of life says
    private readonly int* _other;
    private readonly byte* _notice;
    private NativeBuffer _outgoing;
    private NativeBuffer _incoming;
    private NativeBuffer _padded;
    private bool _over;

    /// <summary>Joins the other ranks; returns when all have begun.</summary>
    /// <param name="flavor">The launcher's library.</param>
    /// <param name="deadline">For how long a rank may give no sign of life.</param>
    /// <exception cref="UserException">The library is not found or does not begin.</exception>
    public MpiCommunicator(MpiFlavor flavor, TimeSpan deadline)
    {
        _library = new MpiLibrary(flavor);
        _deadline = deadline;
        (Rank, Size) = _library.Begin();
        _piece = Math.Clamp(AtOnceFloats / Size, 1, PieceFloats);
        _heard = new long[Size];
        Array.Fill(_heard, Stopwatch.GetTimestamp());
        _signs = new nint[Size];
        _own = (int*)NativeMemory.AllocZeroed(2, sizeof(int));
        _other = _own + 1;
        *_own = Rank;
        _notice = (byte*)NativeMemory.AllocZeroed(NoticeBytes);
        var interval = TimeSpan.FromMilliseconds(Math.Clamp(deadline.TotalMilliseconds / 5, 50, 10_000));
        _alive = new Timer(_ => TellAlive(), null, interval, interval);
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Size { get; }

    /// <inheritdoc/>
    public void AllReduce(Span<float> values)
    {
        // Every rank adds up a part of the elements and sends the sums to the others.
        for (int done = 0; done < values.Length;)
        {
            int count = Math.Min(values.Length - done, _piece * Size), own = (count + Size - 1) / Size;
            Span<float> piece = values.Slice(done, count), padded = _padded.Span<float>(own * Size);
            piece.CopyTo(padded);
            padded[count..].Clear();
            Span<float> sum = padded.Slice(own * Rank, own);
            ReduceScatter(padded, sum);
            AllGather(MemoryMarshal.AsBytes(sum), MemoryMarshal.AsBytes(padded));
            padded[..count].CopyTo(piece);
            done += count;
        }
    }

    /// <inheritdoc/>
    public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own)
    {
        CheckParts(own.Length, values.Length);
        for (int done = 0; done < own.Length;)
        {
            int count = Math.Min(own.Length - done, _piece);
            Span<float> outgoing = _outgoing.Span<float>(count * Size);
            for (int p = 0; p < Size; p++)
            {
                values.Slice((p * own.Length) + done, count).CopyTo(outgoing[(p * count)..]);
            }

            Span<float> incoming = _incoming.Span<float>(count * Size), sum = own.Slice(done, count);
            Exchange(
                p => (_outgoing.At<float>(p * count), count * sizeof(float)), p => (_incoming.At<float>(p * count), count * sizeof(float)));
            outgoing.Slice(Rank * count, count).CopyTo(incoming[(Rank * count)..]);
            incoming[..count].CopyTo(sum);
            for (int p = 1; p < Size; p++)
            {
                TensorPrimitives.Add(sum, incoming.Slice(p * count, count), sum);
            }

            done += count;
        }
    }

    /// <inheritdoc/>
    public void AllGather(ReadOnlySpan<byte> own, Span<byte> all)
    {
        CheckParts(own.Length, all.Length);
        for (int done = 0; done < own.Length;)
        {
            int count = Math.Min(own.Length - done, _piece * sizeof(float));
            own.Slice(done, count).CopyTo(_outgoing.Span<byte>(count));
            Span<byte> incoming = _incoming.Span<byte>(count * Size);
            Exchange(_ => (_outgoing.At<byte>(0), count), p => (_incoming.At<byte>(p * count), count));
            own.Slice(done, count).CopyTo(incoming[(Rank * count)..]);
            for (int p = 0; p < Size; p++)
            {
                incoming.Slice(p * count, count).CopyTo(all[((p * own.Length) + done)..]);
            }

            done += count;
        }
    }

    /// <inheritdoc/>
    public byte[][] Gather(ReadOnlySpan<byte> own)
    {
        Span<int> lengths = _incoming.Span<int>(Size);
        _outgoing.Span<int>(1)[0] = own.Length;
        Exchange(_ => (_outgoing.At<int>(0), sizeof(int)), p => (_incoming.At<int>(p), sizeof(int)));
        lengths[Rank] = own.Length;
        int[] sizes = lengths.ToArray();

        var starts = new int[Size + 1];
        for (int p = 0; p < Size; p++)
        {
            starts[p + 1] = checked(starts[p] + sizes[p]);
        }

        own.CopyTo(_outgoing.Span<byte>(own.Length));
        _incoming.Span<byte>(starts[Size]);
        int length = own.Length;
        Exchange(_ => (_outgoing.At<byte>(0), length), p => (_incoming.At<byte>(starts[p]), sizes[p]));
        var all = new byte[Size][];
        for (int p = 0; p < Size; p++)
        {
            all[p] = p == Rank ? own.ToArray() : new ReadOnlySpan<byte>((void*)_incoming.At<byte>(starts[p]), sizes[p]).ToArray();
        }

        return all;
    }

    /// <inheritdoc/>
    public void CheckPeers() => Check(Enumerable.Range(0, Size).Where(p => p != Rank), since: 0);

    /// <inheritdoc/>
    public void Close()
    {
        // No sign of life may be on its way once the library ends.
        StopSigns();
        this.Barrier();
        lock (_calls)
        {
            if (!_over)
                _library.End();

            _over = true;
        }
    }

    /// <inheritdoc/>
    public bool Fail(string line, int exitCode)
    {
        byte[] text = Encoding.UTF8.GetBytes(line);
        int length = Math.Min(text.Length, NoticeBytes - (3 * sizeof(int)));
        int* head = (int*)_notice;
        (head[0], head[1], head[2]) = (Rank, exitCode, length);
        text.AsSpan(0, length).CopyTo(new Span<byte>(head + 3, length));
        long began = Stopwatch.GetTimestamp();
        try
        {
            lock (_calls)
            {
                for (int p = 0; p < Size && !_over; p++)
                {
                    if (p != Rank)
                        _library.Send(_notice, NoticeBytes, p, FailureTag);
                }
            }

            // What was sent leaves only while the library is called, and it must before the process ends.
            TimeSpan wait = Rank == 0 ? TimeSpan.FromMilliseconds(200) : s_farewell;
            while (Stopwatch.GetElapsedTime(began) < wait)
            {
                if (Notice() is { } notice && notice.Rank < Rank)
                    return false;

                Thread.Sleep(5);
            }
        }
        catch (PeerException)
        {
            // The library says no more.
        }

        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        StopSigns();
        lock (_calls)
        {
            // From here on nothing calls the library; where it has not ended, its requests still have this memory until the process ends.
            if (!_over)
                return;

            _outgoing.Free();
            _incoming.Free();
            _padded.Free();
            NativeMemory.Free(_own);
            NativeMemory.Free(_notice);
        }
    }

    private void CheckParts(int part, int all)
    {
        if (all != (long)part * Size)
            throw new ArgumentException($"{all} elements are not {Size} parts of {part}");
    }

    // Sends to each other rank and receives from each what the functions say of it: address and bytes, in memory that does not move.
    private void Exchange(Func<int, (nint Address, int Bytes)> send, Func<int, (nint Address, int Bytes)> receive)
    {
        var requests = new nint[2 * Size];
        var waiting = new List<int>(2 * Size);
        lock (_calls)
        {
            ObjectDisposedException.ThrowIf(_over, this);
            for (int i = 0; i < requests.Length; i++)
            {
                int p = i % Size;
                if (p == Rank)
                    continue;

                (nint address, int bytes) = i < Size ? receive(p) : send(p);
                requests[i] = i < Size
                    ? _library.Receive((void*)address, bytes, p, DataTag)
                    : _library.Send((void*)address, bytes, p, DataTag);
                waiting.Add(i);
            }
        }

        long began = Stopwatch.GetTimestamp();
        for (int turn = 0; ; turn++)
        {
            lock (_calls)
            {
                waiting.RemoveAll(i => _library.IsDone(ref requests[i]));
            }

            if (waiting.Count == 0)
                return;

            // Other work has the processor while there is nothing to do here: first for an instant, after some milliseconds for longer.
            bool patient = Stopwatch.GetElapsedTime(began) > TimeSpan.FromMilliseconds(5);
            if (patient)
            {
                Thread.Sleep(1);
            }
            else
            {
                Thread.Yield();
            }

            if (!patient && turn % 64 != 63)
                continue;

            Check(waiting.Select(i => i % Size), began);
        }
    }

    // Whether one of these ranks has failed, or has been silent for the deadline, which begins no earlier than the time.
    private void Check(IEnumerable<int> ranks, long since)
    {
        if (Notice() is { } notice)
            throw new PeerException(notice.Line, notice.ExitCode);

        Listen();
        foreach (int rank in ranks)
        {
            if (Stopwatch.GetElapsedTime(Math.Max(since, Interlocked.Read(ref _heard[rank]))) > _deadline)
                throw PeerException.OfSilence(rank, _deadline);
        }
    }

    // Takes in the signs of life.
    private void Listen()
    {
        lock (_calls)
        {
            while (_library.IsWaiting(AliveTag))
            {
                Finish(_library.Receive(_other, sizeof(int), null, AliveTag));
                _heard[*_other] = Stopwatch.GetTimestamp();
            }
        }
    }

    // What another rank that ends has said; null where none has.
    private (int Rank, int ExitCode, string Line)? Notice()
    {
        lock (_calls)
        {
            if (_over || !_library.IsWaiting(FailureTag))
                return null;

            // Not in the memory of this rank's own notice, which may be on its way.
            byte* memory = (byte*)NativeMemory.Alloc(NoticeBytes);
            Finish(_library.Receive(memory, NoticeBytes, null, FailureTag));
            int* head = (int*)memory;
            string line = Encoding.UTF8.GetString((byte*)(head + 3), head[2]);
            (int rank, int exitCode) = (head[0], head[1]);
            NativeMemory.Free(memory);
            return (rank, exitCode, line);
        }
    }

    // Of a message that is there.
    private void Finish(nint request)
    {
        while (!_library.IsDone(ref request))
        {
        }
    }

    private void TellAlive()
    {
        lock (_calls)
        {
            try
            {
                for (int p = 0; p < Size && !_over; p++)
                {
                    if (p == Rank || (_signs[p] != 0 && !_library.IsDone(ref _signs[p])))
                        continue;

                    _signs[p] = _library.Send(_own, sizeof(int), p, AliveTag);
                }
            }
            catch (PeerException)
            {
                // Who waits for the other rank will notice.
            }
        }
    }

    private void StopSigns()
    {
        using var stopped = new ManualResetEvent(false);
        if (_alive.Dispose(stopped))
            stopped.WaitOne();
    }
}
