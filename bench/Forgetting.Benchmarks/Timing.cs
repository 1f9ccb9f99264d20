using System.Diagnostics;
using Forgetting.Backends;

namespace Forgetting.Benchmarks;

/// <summary>Milliseconds that some work takes.</summary>
/// <param name="Median">Of wall clock.</param>
/// <param name="Best">Of wall clock.</param>
/// <param name="Processor">Median over all threads.</param>
internal sealed record Timing(double Median, double Best, double Processor)
{
    /// <summary>Times <paramref name="steps"/> calls after <paramref name="warmup"/> others.</summary>
    public static Timing Of(IBackend backend, int steps, int warmup, Action work)
    {
        for (int i = 0; i < warmup; i++)
            work();

        backend.Synchronize();
        var times = new double[steps];
        var processor = new double[steps];
        for (int i = 0; i < steps; i++)
        {
            TimeSpan used = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            work();
            backend.Synchronize();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            processor[i] = (Environment.CpuUsage.TotalTime - used).TotalMilliseconds;
        }

        Array.Sort(times);
        Array.Sort(processor);
        return new Timing(times[steps / 2], times[0], processor[steps / 2]);
    }
}
