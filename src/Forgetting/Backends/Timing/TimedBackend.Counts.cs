using System.Diagnostics;
using System.Runtime.CompilerServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Timing;

/// <summary>What the calls of one operation took together.</summary>
/// <param name="Ticks">Of <see cref="Stopwatch"/>.</param>
/// <param name="Operations">Floating-point operations, counted for products and attention only.</param>
/// <param name="Bytes">Read and written, each tensor once where no cache holds it.</param>
internal readonly record struct OperationTime(int Calls, long Ticks, double Operations, double Bytes);

// What a call is counted as.
internal sealed partial class TimedBackend
{
    // Pairs of rows that see each other. The offsets are part of what was uploaded: the other backend may have no memory.
    private double Pairs(Tensor offsets)
    {
        (nint at, int[] values) = _uploaded.FindLast(
            one => one.At <= offsets.Pointer && offsets.Pointer < one.At + (one.Values.Length * sizeof(int)));
        ReadOnlySpan<int> rows = values.AsSpan((int)(offsets.Pointer - at) / sizeof(int), (int)offsets.Count);
        double pairs = 0;
        for (int s = 0; s + 1 < rows.Length; s++)
        {
            double length = rows[s + 1] - rows[s];
            pairs += length * (length + 1) / 2;
        }

        return pairs;
    }

    // Each tensor is read or written once; one that is both stands there twice.
    private static double Bytes(ReadOnlySpan<ColumnView> tensors)
    {
        double bytes = 0;
        foreach (ColumnView tensor in tensors)
        {
            bytes += tensor.IsEmpty ? 0 : tensor.Bytes;
        }

        return bytes;
    }

    private Scope Time(ReadOnlySpan<ColumnView> tensors, [CallerMemberName] string name = "") => Time(new Work(name), Bytes(tensors));

    private Scope Time(double bytes, [CallerMemberName] string name = "") => Time(new Work(name), bytes);

    private Scope Time(Work work, double bytes, double operations = 0) =>
        new(_times, work, bytes, operations == 0 ? work.Operations : operations);

    private readonly record struct Work(
        string Name, int M = 0, int K = 0, int N = 0, bool TransposeA = false, bool TransposeB = false, bool Add = false)
    {
        public double Operations => 2.0 * M * K * N;

        public override string ToString() => M == 0
            ? Name
            : $"{Name} {M}x{K}x{N} {(TransposeA ? 'T' : 'N')}{(TransposeB ? 'T' : 'N')}{(Add ? " +=" : "")}";
    }

    private readonly struct Scope(Dictionary<Work, OperationTime> times, Work work, double bytes, double operations) : IDisposable
    {
        private readonly long _start = Stopwatch.GetTimestamp();

        public void Dispose()
        {
            long ticks = Stopwatch.GetTimestamp() - _start;
            OperationTime before = times.GetValueOrDefault(work);
            times[work] = new OperationTime(
                before.Calls + 1, before.Ticks + ticks, before.Operations + operations, before.Bytes + bytes);
        }
    }
}
