using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// A row's probabilities in descending order, ties by index, without sorting the row: tokens fall into bins of equal width
/// in log-probability whose masses are summed, and only a bin in which something is looked for is sorted. Masses are
/// relative to the most probable token's.
/// </summary>
internal readonly unsafe struct RankedMass
{
    // 64 nats: what is less probable than that, e⁻⁶⁴ of the most probable, shares the last bin.
    private const int BinsPerNat = 32;
    private const int Bins = 64 * BinsPerNat;

    private readonly float* _logits;
    private readonly int _columns;
    private readonly double* _sums; // [Bins]
    private readonly ulong* _order; // [columns], of the bin that is sorted
    private readonly float* _masses; // [columns]
    private readonly int* _counts; // [Bins]
    private readonly ushort* _bins; // [columns]

    /// <summary>Puts a row's tokens into bins.</summary>
    /// <param name="highest">The largest logit.</param>
    /// <param name="temperature">Divisor of the logits, above 0.</param>
    /// <param name="scratch">Memory of <see cref="ScratchBytes"/>, aligned for doubles.</param>
    public RankedMass(float* logits, int columns, float highest, float temperature, byte* scratch)
    {
        _logits = logits;
        _columns = columns;
        _sums = (double*)scratch;
        _order = (ulong*)(_sums + Bins);
        _masses = (float*)(_order + columns);
        _counts = (int*)(_masses + columns);
        _bins = (ushort*)(_counts + Bins);
        new Span<double>(_sums, Bins).Clear();
        new Span<int>(_counts, Bins).Clear();

        var top = Vector256.Create(highest);
        var scale = Vector256.Create(1 / temperature);
        var last = Vector256.Create((float)(Bins - 1));
        int* bins = stackalloc int[Lanes.Count];
        for (int i = 0; i < columns; i += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, columns - i);
            Vector256<float> below = (Lanes.Load(logits + i, lanes) - top) * scale;
            Lanes.Store(VectorMath.Exp(below), _masses + i, lanes);

            // Of a NaN and a number the native minimum is the second or NaN, which converts to 0: a bin in either case.
            Vector256.ConvertToInt32(Vector256.MinNative(below * -BinsPerNat, last)).Store(bins);
            for (int j = 0; j < lanes; j++)
            {
                _bins[i + j] = (ushort)bins[j];
                _sums[bins[j]] += _masses[i + j];
                _counts[bins[j]]++;
            }
        }

        for (int bin = 0; bin < Bins; bin++)
        {
            Total += _sums[bin];
        }
    }

    /// <summary>Of all tokens.</summary>
    public double Total { get; }

    /// <summary>Memory for a row.</summary>
    public static long ScratchBytes(int columns) =>
        ((sizeof(double) + sizeof(int)) * (long)Bins) + ((sizeof(ulong) + sizeof(float) + sizeof(ushort)) * (long)columns);

    /// <summary>
    /// The first token in the order with which there are <paramref name="most"/>, or whose mass and that of all before it is at least
    /// <paramref name="mass"/>; the last token where there is none.
    /// </summary>
    /// <returns>The token, and the mass up to and with it.</returns>
    public (int Id, double Mass) Find(int most, double mass)
    {
        double sum = 0;
        int taken = 0;
        int id = 0;
        for (int bin = 0; taken < _columns; bin++)
        {
            int count = _counts[bin];
            if (taken + count < Math.Min(most, _columns) && sum + _sums[bin] < mass)
            {
                sum += _sums[bin];
                taken += count;
                continue;
            }

            foreach (ulong ranked in Sorted(bin))
            {
                id = (int)(uint)ranked;
                sum += _masses[id];
                if (++taken == most || sum >= mass)
                    return (id, sum);
            }
        }

        return (id, sum);
    }

    // Tokens of a bin as the logit, descending, in the upper and the index in the lower half.
    private ReadOnlySpan<ulong> Sorted(int bin)
    {
        int count = 0;
        for (int at = 0, next; (next = new ReadOnlySpan<ushort>(_bins + at, _columns - at).IndexOf((ushort)bin)) >= 0; at++)
        {
            at += next;

            // Adding 0 makes −0 equal to 0.
            uint bits = BitConverter.SingleToUInt32Bits(_logits[at] + 0f);
            uint ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
            _order[count++] = ((ulong)~ascending << 32) | (uint)at;
        }

        var order = new Span<ulong>(_order, count);
        order.Sort();
        return order;
    }
}
