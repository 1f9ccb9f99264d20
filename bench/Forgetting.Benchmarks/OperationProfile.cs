using System.CommandLine;
using System.Diagnostics;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Backends.Timing;
using Forgetting.Core;

namespace Forgetting.Benchmarks;

/// <summary>Time by operation of some work on the processor, as a table.</summary>
internal static class OperationProfile
{
    public static Option<bool> Option() => new("--profile") { Description = "time by operation, on the processor" };

    /// <summary>Prints the table.</summary>
    /// <param name="prepare">Makes the work on the backend that is given, and what to dispose after it.</param>
    /// <exception cref="UserException">The backend is no processor.</exception>
    public static void Print(
        IBackend backend, string title, int steps, int warmup, Func<IBackend, (Action Work, IDisposable Owner)> prepare)
    {
        if (backend is not CpuBackend cpu)
            throw new UserException($"--profile: found --device {backend.Name}, expected cpu; for a card see docs/profiling.md");

        using var timed = new TimedBackend(cpu);
        (Action work, IDisposable owner) = prepare(timed);
        using (owner)
        {
            for (int i = 0; i < warmup; i++)
                work();

            timed.Clear();
            long bytes = GC.GetTotalAllocatedBytes(precise: true), start = Stopwatch.GetTimestamp();
            for (int i = 0; i < steps; i++)
                work();

            double total = Stopwatch.GetElapsedTime(start).TotalMilliseconds / steps;
            bytes = (GC.GetTotalAllocatedBytes(precise: true) - bytes) / steps;
            Console.WriteLine(
                $"{title}, {cpu.Threads} threads, {cpu.ProductsDescription}: {total:F1} ms, {bytes / 1024.0:F0} KiB of managed memory");
            Console.WriteLine("| operation | calls | ms | share | GFLOP/s |");
            Console.WriteLine("|---|---:|---:|---:|---:|");
            double sum = 0;
            foreach ((string name, OperationTime time) in timed.Times.OrderByDescending(t => t.Value.Ticks))
            {
                double milliseconds = time.Ticks * 1e3 / Stopwatch.Frequency / steps;
                sum += milliseconds;
                string rate = time.Operations == 0 ? "" : $"{time.Operations / steps / milliseconds / 1e6:F1}";
                Console.WriteLine($"| {name} | {(double)time.Calls / steps:G4} | {milliseconds:F2} | {milliseconds / total:P1} | {rate} |");
            }

            Console.WriteLine($"| outside operations | | {total - sum:F2} | {(total - sum) / total:P1} | |");
        }
    }
}
