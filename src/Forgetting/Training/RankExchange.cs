using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Distributed;
using Forgetting.Tensors;

namespace Forgetting.Training;

/// <summary>
/// Brings together what ranks have on their devices: between cards by <see cref="NcclCommunicator"/>, else by way of the host and in pieces
/// of bounded size.
/// </summary>
internal sealed class RankExchange(ICommunicator communicator, IBackend backend)
{
    private const int BucketBytes = 1 << 24;

    private byte[] _bucket = [];
    private byte[] _own = [];

    /// <summary>The ranks.</summary>
    public ICommunicator Communicator => communicator;

    /// <summary>Replaces tensors, Float32 and the same on all ranks in number and shape, by their sums over the ranks.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void AllReduce(IReadOnlyList<Tensor> tensors)
    {
        if (communicator.Size == 1)
            return;

        if (communicator is NcclCommunicator cards)
        {
            cards.AllReduce([.. tensors.Select(t => (t.Pointer, t.Count))]);
            return;
        }

        foreach (Segment[] segments in Pieces(tensors, BucketBytes / sizeof(float)))
        {
            int count = segments[^1].End;
            Span<float> bucket = Ensure(ref _bucket, (long)count * sizeof(float)).Floats;
            foreach (Segment segment in segments)
            {
                backend.Download(segment.Of(tensors), bucket[segment.Start..segment.End]);
            }

            communicator.AllReduce(bucket[..count]);
            foreach (Segment segment in segments)
            {
                backend.Upload<float>(bucket[segment.Start..segment.End], segment.Of(tensors));
            }
        }
    }

    /// <summary>Sums Float32 tensors over the ranks, of which each receives its part of every one.</summary>
    /// <param name="tensors">Tensors of equal parts, one for each rank in the order of ranks, and where the sums of this rank's parts go,
    /// which may be in the tensor itself.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void ReduceScatter(IReadOnlyList<(Tensor Whole, Tensor Own)> tensors)
    {
        if (communicator is NcclCommunicator cards)
        {
            foreach ((Tensor all, Tensor part) in tensors)
            {
                cards.ReduceScatter(all.Pointer, part.Pointer, part.Count);
            }

            return;
        }

        Tensor[] own = [.. tensors.Select(t => t.Own)];
        foreach (Segment[] segments in Pieces(own, BucketBytes / sizeof(float) / communicator.Size))
        {
            int count = segments[^1].End;
            Span<float> bucket = Ensure(ref _bucket, (long)count * communicator.Size * sizeof(float)).Floats,
                sum = Ensure(ref _own, (long)count * sizeof(float)).Floats[..count];
            for (int rank = 0; rank < communicator.Size; rank++)
            {
                foreach (Segment segment in segments)
                {
                    Tensor part = Part(tensors[segment.Tensor], rank).Elements(segment.First, segment.Count);
                    backend.Download(part, bucket.Slice((rank * count) + segment.Start, segment.Count));
                }
            }

            communicator.ReduceScatter(bucket[..(count * communicator.Size)], sum);
            foreach (Segment segment in segments)
            {
                backend.Upload<float>(sum[segment.Start..segment.End], segment.Of(own));
            }
        }
    }

    /// <summary>Completes tensors of which each rank has a part.</summary>
    /// <param name="tensors">Tensors of equal parts, one for each rank in the order of ranks, and this rank's parts, which may be in the
    /// tensor itself.</param>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public void AllGather(IReadOnlyList<(Tensor Whole, Tensor Own)> tensors)
    {
        if (communicator is NcclCommunicator cards)
        {
            foreach ((Tensor all, Tensor part) in tensors)
            {
                cards.AllGather(part.Pointer, all.Pointer, part.Bytes);
            }

            return;
        }

        Tensor[] own = [.. tensors.Select(t => t.Own)];
        int size = own.Length == 0 ? 1 : own[0].DType.Size();
        foreach (Segment[] segments in Pieces(own, BucketBytes / size / communicator.Size))
        {
            int count = segments[^1].End * size;
            Span<byte> bucket = Ensure(ref _bucket, (long)count * communicator.Size).Bytes,
                sent = Ensure(ref _own, count).Bytes[..count];
            foreach (Segment segment in segments)
            {
                backend.Download(segment.Of(own).Raw, sent.Slice(segment.Start * size, segment.Count * size));
            }

            communicator.AllGather(sent, bucket[..(count * communicator.Size)]);
            for (int rank = 0; rank < communicator.Size; rank++)
            {
                foreach (Segment segment in segments)
                {
                    Tensor part = Part(tensors[segment.Tensor], rank).Elements(segment.First, segment.Count);
                    backend.Upload<byte>(bucket.Slice((rank * count) + (segment.Start * size), segment.Count * size), part.Raw);
                }
            }
        }
    }

    private static Tensor Part((Tensor Whole, Tensor Own) tensor, int rank) =>
        tensor.Whole.Elements(rank * tensor.Own.Count, checked((int)tensor.Own.Count));

    // Many small tensors, and parts of a large one, go together.
    private static IEnumerable<Segment[]> Pieces(IReadOnlyList<Tensor> tensors, int most)
    {
        var piece = new List<Segment>();
        int filled = 0;
        for (int i = 0; i < tensors.Count; i++)
        {
            for (long done = 0; done < tensors[i].Count;)
            {
                int count = (int)Math.Min(tensors[i].Count - done, most - filled);
                piece.Add(new Segment(i, done, filled, count));
                filled += count;
                done += count;
                if (filled == most)
                {
                    yield return [.. piece];
                    piece.Clear();
                    filled = 0;
                }
            }
        }

        if (filled > 0)
            yield return [.. piece];
    }

    private static Buffer Ensure(ref byte[] memory, long bytes)
    {
        if (memory.Length < bytes)
            memory = new byte[bytes];

        return new Buffer(memory);
    }

    private readonly ref struct Buffer(byte[] memory)
    {
        public Span<byte> Bytes => memory;

        public Span<float> Floats => MemoryMarshal.Cast<byte, float>(memory.AsSpan());
    }

    /// <summary>Some elements of a tensor, and their place in a piece.</summary>
    private readonly record struct Segment(int Tensor, long First, int Start, int Count)
    {
        public int End => Start + Count;

        public Tensor Of(IReadOnlyList<Tensor> tensors) => tensors[Tensor].Elements(First, Count);
    }
}
