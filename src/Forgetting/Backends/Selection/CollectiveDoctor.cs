using System.Diagnostics;
using System.Runtime.InteropServices;
using Forgetting.Distributed;
using Forgetting.Tensors;

namespace Forgetting.Backends.Selection;

/// <summary>What was found of something that ranks do together.</summary>
/// <param name="Collective">What it is, and between what.</param>
/// <param name="Bytes">What a rank gives, or gets where that is more.</param>
/// <param name="Milliseconds">Median time of a call on the first rank.</param>
/// <param name="Ok">Whether every rank got what it should, to the bit.</param>
internal sealed record CollectiveCheck(string Collective, long Bytes, double Milliseconds, bool Ok)
{
    /// <summary>Bytes over time.</summary>
    public double GigabytesPerSecond => Bytes / (Milliseconds * 1e6);
}

/// <summary>
/// Tries all that ranks do together on values of which every rank knows what must come out: small whole numbers, whose sums are the same in
/// every order.
/// </summary>
/// <param name="ranks">The ranks.</param>
/// <param name="cards">What connects their cards, or null.</param>
/// <param name="backend">The rank's device.</param>
/// <param name="repeats">Timed calls of each.</param>
internal sealed class CollectiveDoctor(ICommunicator ranks, NcclCommunicator? cards, IBackend backend, int repeats)
{
    // One element, a number that nothing divides, and a bucket of gradients.
    private static readonly int[] s_counts = [1, 10_007, 1 << 20];

    private int Size => ranks.Size;

    /// <summary>Tries everything.</summary>
    /// <returns>The same on all ranks.</returns>
    /// <exception cref="PeerException">A rank has failed, or is lost.</exception>
    public IReadOnlyList<CollectiveCheck> Run() =>
    [
        Check("barrier, host", 0, () => { }, ranks.Barrier, () => true),
        .. s_counts.SelectMany(count => OnHost(count)),
        .. cards is null ? [] : s_counts.SelectMany(count => OnCards(cards, count)),
    ];

    private static float Value(int rank, int i) => ((i * 7) + (rank * 13)) % 251;

    private static float[] Values(int rank, int first, int count) => [.. Enumerable.Range(first, count).Select(i => Value(rank, i))];

    private float Sum(int i) => Enumerable.Range(0, Size).Sum(rank => Value(rank, i));

    private IEnumerable<CollectiveCheck> OnHost(int count)
    {
        float[] given = Values(ranks.Rank, 0, count), values = [], parts = Values(ranks.Rank, 0, count * Size), own = new float[count];
        yield return Check(
            "all-reduce, host", Bytes(count), () => values = [.. given], () => ranks.AllReduce(values), () => IsSum(values, 0));
        yield return Check(
            "reduce-scatter, host", Bytes(count * Size), () => Array.Clear(own), () => ranks.ReduceScatter(parts, own),
            () => IsSum(own, ranks.Rank * count));

        var all = new float[count * Size];
        yield return Check(
            "all-gather, host", Bytes(count * Size), () => Array.Clear(all),
            () => ranks.AllGather(MemoryMarshal.AsBytes(given.AsSpan()), MemoryMarshal.AsBytes(all.AsSpan())), () => IsAll(all, count));

        byte[][] gathered = [];
        byte[] ragged = Ragged(ranks.Rank, count);
        yield return Check(
            "gather, host", ragged.Length, () => { }, () => gathered = ranks.Gather((ReadOnlySpan<byte>)ragged),
            () => gathered.Index().All(one => one.Item.AsSpan().SequenceEqual(Ragged(one.Index, count))));
        byte[] first = [];
        yield return Check(
            "broadcast, host", Ragged(0, count).Length, () => { }, () => first = ranks.Broadcast(ranks.IsFirst() ? ragged : []),
            () => first.AsSpan().SequenceEqual(Ragged(0, count)));
    }

    private IEnumerable<CollectiveCheck> OnCards(NcclCommunicator between, int count)
    {
        using DeviceBuffer some = backend.Allocate(Bytes(count)), all = backend.Allocate(Bytes(count * Size));
        Tensor one = some.AsTensor(new Shape(count), DType.Float32), whole = all.AsTensor(new Shape(count * Size), DType.Float32);
        float[] given = Values(ranks.Rank, 0, count), parts = Values(ranks.Rank, 0, count * Size);
        yield return Check(
            "all-reduce, cards", Bytes(count), () => backend.Upload<float>(given, one),
            () => between.AllReduce([(one.Pointer, count)]), () => IsSum(Read(one), 0));
        yield return Check(
            "reduce-scatter, cards", Bytes(count * Size), () => backend.Upload<float>(parts, whole),
            () => between.ReduceScatter(whole.Pointer, one.Pointer, count), () => IsSum(Read(one), ranks.Rank * count));
        yield return Check(
            "all-gather, cards", Bytes(count * Size), () => backend.Upload<float>(given, one),
            () => between.AllGather(one.Pointer, whole.Pointer, Bytes(count)), () => IsAll(Read(whole), count));
        int last = Size - 1;
        yield return Check(
            "broadcast, cards", Bytes(count), () => backend.Upload<float>(given, one),
            () => between.Broadcast(one.Pointer, Bytes(count), last), () => Read(one).SequenceEqual(Values(last, 0, count)));
    }

    private static long Bytes(int count) => count * (long)sizeof(float);

    // Of another length on each rank.
    private static byte[] Ragged(int rank, int count) => [.. Enumerable.Range(0, count + (rank * 3)).Select(i => (byte)((i * 5) + rank))];

    private bool IsSum(float[] found, int first) => found.Index().All(one => one.Item == Sum(first + one.Index));

    private static bool IsAll(float[] found, int count) =>
        found.Index().All(one => one.Item == Value(one.Index / count, one.Index % count));

    private float[] Read(Tensor tensor)
    {
        var values = new float[tensor.Count];
        backend.Download(tensor, values.AsSpan());
        return values;
    }

    private CollectiveCheck Check(string name, long bytes, Action prepare, Action run, Func<bool> isRight)
    {
        var times = new List<double>();
        bool right = true;
        for (int i = 0; i <= repeats; i++)
        {
            prepare();
            backend.Synchronize();
            ranks.Barrier();
            long began = Stopwatch.GetTimestamp();
            run();
            times.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            right = right && isRight();
        }

        // The first call has connections to make.
        double[] sorted = [.. times.Skip(1).Order()];
        double median = ranks.FromFirst(() => sorted[sorted.Length / 2]);
        return new CollectiveCheck(name, bytes, median, !ranks.Any(!right));
    }
}
