using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Backends;
using Forgetting.Backends.Cpu;

namespace Forgetting.Benchmarks;

/// <summary><c>step</c>: times whole training steps, or with <c>--profile</c> the operations within them.</summary>
internal static class StepCommand
{
    public static JsonSerializerOptions Json { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public static Command Create()
    {
        var rank = WorkloadOptions.Number("--lora-rank", 0);
        var profile = new Option<bool>("--profile") { Description = "time by operation, on the processor" };
        var command = new Command("step", "Time training steps: forward, backward and AdamW.") { rank, profile };
        var options = new WorkloadOptions(command, steps: 10, warmup: 3);
        command.SetAction(parsed =>
        {
            StepSettings settings = options.Settings(parsed) with { LoraRank = parsed.GetValue(rank) };
            using IBackend backend = options.Backend(parsed);
            if (!parsed.GetValue(profile))
                Time(backend, settings, options.Warmup(parsed), options.Steps(parsed), options.Json(parsed));
            else if (backend is CpuBackend cpu)
                Profile(cpu, settings, options.Warmup(parsed), options.Steps(parsed));
            else
                throw new UserException($"--profile: found --device {backend.Name}, expected cpu; for a card see docs/profiling.md");
        });
        return command;
    }

    private static void Time(IBackend backend, StepSettings settings, int warmup, int steps, bool json)
    {
        long? free = WorkloadOptions.FreeBytes(backend);
        using var workload = new StepWorkload(backend, settings);
        var times = new double[steps];
        var processor = new double[steps];
        double loss = Run(workload, warmup);
        for (int i = 0; i < steps; i++)
        {
            TimeSpan used = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            loss = workload.Run();
            processor[i] = (Environment.CpuUsage.TotalTime - used).TotalMilliseconds;
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }

        Array.Sort(times);
        Array.Sort(processor);
        double median = times[steps / 2];
        var result = new
        {
            Program = "forgetting",
            Work = settings.ToString(),
            Device = backend.Name,
            (backend as CpuBackend)?.Threads,
            Products = WorkloadOptions.Products(backend),
            Steps = steps,
            Ms = median,
            BestMs = times[0],
            ProcessorMs = processor[steps / 2],
            TokensPerSecond = settings.Tokens / median * 1e3,
            Gflops = settings.Operations / median / 1e6,
            PeakBytes = free - WorkloadOptions.FreeBytes(backend),
            Loss = loss,
        };
        Console.WriteLine(json
            ? JsonSerializer.Serialize(result, Json)
            : $"{result.Work}: median {result.Ms:F1} ms (best {result.BestMs:F1}; {result.ProcessorMs:F0} ms of processor), {result.TokensPerSecond:F0} tokens/s, {result.Gflops:F1} GFLOP/s, "
                + $"{(result.Threads is { } threads ? $"{threads} threads, " : "")}{result.Products}, loss {result.Loss:F4}");
    }

    private static void Profile(CpuBackend cpu, StepSettings settings, int warmup, int steps)
    {
        using var backend = new TimedBackend(cpu);
        using var workload = new StepWorkload(backend, settings);
        Run(workload, warmup);
        backend.Clear();
        long start = Stopwatch.GetTimestamp();
        Run(workload, steps);
        double total = Stopwatch.GetElapsedTime(start).TotalMilliseconds / steps;
        Console.WriteLine($"{settings}, {cpu.Threads} threads, {cpu.Products}: {total:F1} ms a step, {settings.Operations / total / 1e6:F1} GFLOP/s");
        Console.WriteLine("| operation | calls | ms | share | GFLOP/s |");
        Console.WriteLine("|---|---:|---:|---:|---:|");
        double timed = 0;
        foreach ((string name, OperationTime time) in backend.Times.OrderByDescending(t => t.Value.Ticks))
        {
            double milliseconds = time.Ticks * 1e3 / Stopwatch.Frequency / steps;
            timed += milliseconds;
            string rate = time.Operations == 0 ? "" : $"{time.Operations / steps / milliseconds / 1e6:F1}";
            Console.WriteLine($"| {name} | {(double)time.Calls / steps:G4} | {milliseconds:F2} | {milliseconds / total:P1} | {rate} |");
        }

        Console.WriteLine($"| outside operations | | {total - timed:F2} | {(total - timed) / total:P1} | |");
    }

    private static double Run(StepWorkload workload, int steps)
    {
        double loss = 0;
        for (int i = 0; i < steps; i++)
            loss = workload.Run();

        return loss;
    }
}
