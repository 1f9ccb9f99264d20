using System.Runtime.ExceptionServices;
using Forgetting.Distributed;

namespace Forgetting.Tests.Distributed;

/// <summary>Ranks that are threads of this process, so that what ranks do together is tested without a launcher.</summary>
internal sealed class ThreadRanks : IDisposable
{
    private readonly System.Threading.Barrier _meeting;
    private readonly float[][] _values;
    private readonly byte[][] _bytes;

    private ThreadRanks(int size)
    {
        _meeting = new System.Threading.Barrier(size);
        _values = new float[size][];
        _bytes = new byte[size][];
    }

    /// <summary>Does something on every rank at once; throws what the first rank threw.</summary>
    public static T[] Run<T>(int size, Func<ICommunicator, T> work)
    {
        using var ranks = new ThreadRanks(size);
        var results = new T[size];
        var errors = new ExceptionDispatchInfo?[size];
        Thread[] threads =
        [
            .. Enumerable.Range(0, size).Select(rank => new Thread(() =>
            {
                try
                {
                    results[rank] = work(new Member(ranks, rank, size));
                }
                catch (Exception error)
                {
                    errors[rank] = ExceptionDispatchInfo.Capture(error);
                    ranks._meeting.RemoveParticipant();
                }
            })),
        ];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        Array.Find(errors, e => e != null)?.Throw();
        return results;
    }

    public void Dispose() => _meeting.Dispose();

    private sealed class Member(ThreadRanks all, int rank, int size) : ICommunicator
    {
        public int Rank => rank;

        public int Size => size;

        public void AllReduce(Span<float> values)
        {
            all._values[rank] = values.ToArray();
            all._meeting.SignalAndWait();
            for (int i = 0; i < values.Length; i++)
            {
                float sum = all._values[0][i];
                for (int p = 1; p < size; p++)
                {
                    sum += all._values[p][i];
                }

                values[i] = sum;
            }

            all._meeting.SignalAndWait();
        }

        public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own)
        {
            float[] all = values.ToArray();
            AllReduce(all);
            all.AsSpan(rank * own.Length, own.Length).CopyTo(own);
        }

        public void AllGather(ReadOnlySpan<byte> own, Span<byte> all)
        {
            byte[][] parts = Gather(own);
            for (int p = 0; p < size; p++)
            {
                parts[p].CopyTo(all[(p * own.Length)..]);
            }
        }

        public byte[][] Gather(ReadOnlySpan<byte> own)
        {
            all._bytes[rank] = own.ToArray();
            all._meeting.SignalAndWait();
            byte[][] bytes = [.. all._bytes];
            all._meeting.SignalAndWait();
            return bytes;
        }

        public void Dispose()
        {
        }
    }
}
