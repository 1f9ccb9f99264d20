using System.CommandLine;
using Forgetting.Backends;

namespace Forgetting.Benchmarks;

/// <summary><c>step</c>: times whole training steps; the peer in <c>bench/peers/torchsharp</c> does the same in PyTorch.</summary>
internal static class StepCommand
{
    public static Command Create()
    {
        var rank = WorkloadOptions.Number("--lora-rank", 0);
        Option<bool> profile = OperationProfile.Option();
        var single = new Option<bool>("--no-cuda-graphs") { Description = "launch every kernel by itself, on a card" };
        var command = new Command("step", "Time training steps: forward, backward and AdamW.") { rank, profile, single };
        var options = new WorkloadOptions(command, steps: 10, warmup: 3);
        command.SetAction(parsed =>
        {
            StepSettings settings =
                options.Settings(parsed) with { LoraRank = parsed.GetValue(rank), NoCudaGraphs = parsed.GetValue(single) };
            using IBackend backend = options.Backend(parsed);
            int steps = options.Steps(parsed), warmup = options.Warmup(parsed);
            if (parsed.GetValue(profile))
            {
                OperationProfile.Print(backend, $"Step of {settings}", steps, warmup, timed =>
                {
                    var workload = new StepWorkload(timed, settings);
                    return (() => workload.Run(), workload);
                });
                return;
            }

            long? free = WorkloadOptions.FreeBytes(backend);
            using var step = new StepWorkload(backend, settings);
            double loss = 0;
            Timing timing = Timing.Of(backend, steps, warmup, () => loss = step.Run());
            long? used = free - WorkloadOptions.FreeBytes(backend);
            new BenchmarkResult(backend, settings.ToString(), timing, steps, settings.Tokens, settings.Operations)
            {
                PeakBytes = used,
                Loss = loss,
            }.Print(options.Json(parsed));
        });
        return command;
    }
}
