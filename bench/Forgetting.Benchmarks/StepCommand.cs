using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Forgetting.Backends.Cpu;

namespace Forgetting.Benchmarks;

/// <summary><c>step</c>: times whole training steps, or with <c>--profile</c> the operations within them.</summary>
internal static class StepCommand
{
    private static readonly JsonSerializerOptions s_json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Create()
    {
        var shape = new StepSettings();
        Option<int> dim = Number("--dim", shape.Dim), layers = Number("--layers", shape.Layers), heads = Number("--heads", shape.Heads);
        Option<int> mlp = Number("--mlp", shape.Mlp), vocab = Number("--vocab", shape.Vocab);
        Option<int> batch = Number("--batch", shape.Batch), length = Number("--length", shape.Length), rank = Number("--lora-rank", shape.LoraRank);
        Option<int> steps = Number("--steps", 10), warmup = Number("--warmup", 3), threads = Number("--threads", Environment.ProcessorCount);
        var json = new Option<bool>("--json") { Description = "one line of JSON" };
        var profile = new Option<bool>("--profile") { Description = "time by operation" };
        var command = new Command("step", "Time training steps: forward, backward and AdamW.")
        {
            dim, layers, heads, mlp, vocab, batch, length, rank, steps, warmup, threads, json, profile,
        };
        command.SetAction(parsed =>
        {
            var settings = new StepSettings(
                parsed.GetValue(dim), parsed.GetValue(layers), parsed.GetValue(heads), parsed.GetValue(mlp), parsed.GetValue(vocab),
                parsed.GetValue(batch), parsed.GetValue(length), parsed.GetValue(rank));
            using var backend = new CpuBackend(parsed.GetValue(threads));
            if (parsed.GetValue(profile))
                Profile(backend, settings, parsed.GetValue(warmup), parsed.GetValue(steps));
            else
                Time(backend, settings, parsed.GetValue(warmup), parsed.GetValue(steps), parsed.GetValue(json));
        });
        return command;
    }

    private static Option<int> Number(string name, int value) => new(name) { DefaultValueFactory = _ => value };

    private static void Time(CpuBackend backend, StepSettings settings, int warmup, int steps, bool json)
    {
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
            backend.Threads,
            backend.Products,
            Steps = steps,
            Ms = median,
            BestMs = times[0],
            ProcessorMs = processor[steps / 2],
            TokensPerSecond = settings.Tokens / median * 1e3,
            Gflops = settings.Operations / median / 1e6,
            Loss = loss,
        };
        Console.WriteLine(json
            ? JsonSerializer.Serialize(result, s_json)
            : $"{result.Work}: median {result.Ms:F1} ms (best {result.BestMs:F1}; {result.ProcessorMs:F0} ms of processor), {result.TokensPerSecond:F0} tokens/s, {result.Gflops:F1} GFLOP/s, "
                + $"{result.Threads} threads, {result.Products}, loss {result.Loss:F4}");
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
