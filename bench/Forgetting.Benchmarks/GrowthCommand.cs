using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Reports;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>growth</c>: times training steps over contexts and batches and writes OUT.json and a drawing, OUT.svg. Micro-batches are of one size,
/// so memory does not grow with the batch.
/// </summary>
internal static class GrowthCommand
{
    private const double EnoughMilliseconds = 5000;
    private const int MaxSteps = 5;

    public static Command Create()
    {
        var contexts =
            new Option<int[]>("--contexts") { DefaultValueFactory = _ => [256, 1024, 4096], AllowMultipleArgumentsPerToken = true };
        var batches = new Option<int[]>("--batches") { DefaultValueFactory = _ => [1, 8, 64], AllowMultipleArgumentsPerToken = true };
        Option<int> tokens = WorkloadOptions.Number("--micro-batch-tokens", 4096, "tokens computed at once, a context at least");
        var file = new Option<string>("--out") { Description = "path without ending", DefaultValueFactory = _ => "bench/results/growth" };
        var command = new Command("growth", "Time training steps over contexts and batches.") { contexts, batches, tokens, file };
        var options = new WorkloadOptions(command, steps: MaxSteps, warmup: 1);
        command.SetAction(parsed =>
        {
            StepSettings shape = options.Settings(parsed);
            using IBackend backend = options.Backend(parsed);
            var cells = new List<Cell>();
            foreach (int context in parsed.GetValue(contexts)!)
            {
                foreach (int batch in parsed.GetValue(batches)!)
                {
                    StepSettings settings =
                        shape with { Batch = batch, Length = context, MicroBatchTokens = Math.Max(parsed.GetValue(tokens), context) };
                    cells.Add(Measure(backend, settings, options.Steps(parsed), options.Warmup(parsed)));
                    Cell cell = cells[^1];
                    Console.WriteLine(
                        $"{cell.Context,5} x {cell.Batch,3}: {cell.Ms,9:F1} ms, {cell.TokensPerSecond,8:F0} tokens/s, "
                        + $"{cell.Gflops,7:F1} GFLOP/s, {cell.Steps} steps");
                }
            }

            string path = parsed.GetValue(file)!;
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            string heading = $"Training steps of {shape.ModelName}, {WorkloadOptions.Products(backend)}, "
                + $"{Environment.ProcessorCount} processors, {DateTime.UtcNow:yyyy-MM-dd}";
            File.WriteAllText(
                path + ".json",
                JsonSerializer.Serialize(new { heading, gemm_gflops = Peak.Gemm(backend), cells }, BenchmarkResult.Json) + "\n");
            File.WriteAllText(path + ".svg", Charts.LinesFile(
                heading, "context, tokens", "tokens/s", [.. cells.GroupBy(c => c.Batch)
                    .Select(g => new Series($"batch {g.Key}", [.. g.Select(c => ((double)c.Context, c.TokensPerSecond))]))],
                zeroBased: true));
            Console.WriteLine($"{path}.json, {path}.svg");
        });
        return command;
    }

    // A step of a large cell takes minutes: one is enough there, and warming up is for the small ones.
    private static Cell Measure(IBackend backend, StepSettings settings, int most, int warmup)
    {
        using var workload = new StepWorkload(backend, settings);
        var times = new List<double>();
        while (times.Count < warmup + most && (times.Count <= warmup || times.Skip(warmup).Sum() < EnoughMilliseconds))
        {
            long start = Stopwatch.GetTimestamp();
            workload.Run();
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            if (times is [> EnoughMilliseconds])
                warmup = 0;
        }

        double[] counted = [.. times.Skip(warmup).Order()];
        double median = counted[counted.Length / 2];
        return new Cell(
            settings.Length, settings.Batch, counted.Length, median, settings.Tokens / median * 1e3, settings.Operations / median / 1e6);
    }

    private sealed record Cell(int Context, int Batch, int Steps, double Ms, double TokensPerSecond, double Gflops);
}
