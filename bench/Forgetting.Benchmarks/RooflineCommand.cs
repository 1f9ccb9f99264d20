using System.CommandLine;
using System.Globalization;
using Forgetting.Backends.DryRun;
using Forgetting.Backends.Timing;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>roofline</c>: what a training step asks of a card, operation by operation, and the least time it can take there. Nothing is computed:
/// the program's own step runs on a backend without memory, and what it asks for is counted.
/// </summary>
internal static class RooflineCommand
{
    // Kernels of an operation where it is not one; copies to and from the card are none.
    private static readonly Dictionary<string, int> s_launches = new()
    {
        ["Upload"] = 0, ["Download"] = 0, ["AttentionBackward"] = 3, ["AccumulateRows"] = 2, ["AccumulateColumns"] = 2,
        ["SumOfSquares"] = 2, ["Dot"] = 2, ["LoraDownGradient"] = 2,
    };

    public static Command Create()
    {
        var rank = WorkloadOptions.Number("--lora-rank", 0);
        Option<double> rate = Rate("--tflops", 790, "products in bf16 that the card does, TFLOP/s");
        Option<double> bandwidth = Rate("--bandwidth", 4.3, "bytes that it reads and writes, TB/s");
        var total = new Option<bool>("--total") { Description = "only the last line, without the table" };
        var command = new Command("roofline", "What a step asks of a card in bf16, counted without one, and the least time for it.")
        {
            rank, rate, bandwidth, total,
        };
        var options = new WorkloadOptions(command, steps: 1, warmup: 1);
        command.SetAction(parsed => Print(
            options.Settings(parsed) with { LoraRank = parsed.GetValue(rank) }, parsed.GetValue(rate) * 1e12,
            parsed.GetValue(bandwidth) * 1e12, parsed.GetValue(total)));
        return command;
    }

    /// <summary>Launches of a step.</summary>
    public static int Launches(StepSettings settings) => Count(settings).Sum(each => LaunchesOf(each.Key, each.Value));

    private static KeyValuePair<string, OperationTime>[] Count(StepSettings settings)
    {
        using var counted = new TimedBackend(new DryRunBackend("cuda", DType.BFloat16));
        using var step = new StepWorkload(counted, settings, initialize: false);
        step.Run();
        counted.Clear();
        step.Run();
        return [.. counted.Times];
    }

    private static int LaunchesOf(string name, OperationTime work) => work.Calls * s_launches.GetValueOrDefault(name, 1);

    private static void Print(StepSettings settings, double rate, double bandwidth, bool totalOnly)
    {
        if (!totalOnly)
        {
            Console.WriteLine("| operation | calls | launches | GFLOP | MB | ms | bound by |");
            Console.WriteLine("|---|---:|---:|---:|---:|---:|---|");
        }

        double time = 0, operations = 0, bytes = 0;
        int launches = 0;
        foreach ((string name, OperationTime work) in Count(settings).OrderByDescending(each => Time(each.Value)))
        {
            int own = LaunchesOf(name, work);
            time += Time(work);
            operations += work.Operations;
            bytes += work.Bytes;
            launches += own;
            string bound = own == 0 ? "the bus" : work.Operations / rate > work.Bytes / bandwidth ? "products" : "memory";
            if (!totalOnly)
                Line(name, work.Calls.ToString(CultureInfo.InvariantCulture), own, work.Operations, work.Bytes, Time(work), bound);
        }

        Line($"**{settings}**", "", launches, operations, bytes, time, "");

        // What crosses the bus is little and runs beside the rest.
        double Time(OperationTime work) => Math.Max(work.Operations / rate, work.Bytes / bandwidth);

        static void Line(string name, string calls, int launches, double operations, double bytes, double seconds, string bound) =>
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {name} | {calls} | {launches} | {operations / 1e9:N0} | {bytes / 1e6:N0} | {seconds * 1e3:F2} | {bound} |"));
    }

    private static Option<double> Rate(string name, double standard, string description) =>
        new(name) { Description = description, DefaultValueFactory = _ => standard };
}
