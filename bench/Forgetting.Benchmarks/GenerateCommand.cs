using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Models;

namespace Forgetting.Benchmarks;

/// <summary><c>generate</c>: times the continuation of prompts; <c>bench/peers/torchsharp</c> does the same in PyTorch.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        Option<int> prompt = WorkloadOptions.Number("--prompt", 32), added = WorkloadOptions.Number("--new", 128);
        var temperature = new Option<double>("--temperature") { Description = "0 for the most probable token" };
        Option<bool> profile = OperationProfile.Option();
        var command = new Command(
            "generate", "Time generation: all prompts in one pass, then a token of each a pass.") { prompt, added, temperature, profile };
        var options = new WorkloadOptions(command, steps: 5, warmup: 1, batch: 1);
        command.SetAction(parsed =>
        {
            StepSettings shape = options.Settings(parsed);
            int length = parsed.GetValue(prompt);
            var generation = new GenerationOptions { MaxNewTokens = parsed.GetValue(added), Temperature = parsed.GetValue(temperature) };
            string work = $"{shape.ModelName} generate {shape.Batch}x({length}+{generation.MaxNewTokens})";
            int steps = options.Steps(parsed), warmup = options.Warmup(parsed);
            using IBackend backend = options.Backend(parsed);
            if (parsed.GetValue(profile))
            {
                OperationProfile.Print(backend, work, steps, warmup, timed =>
                {
                    var workload = new GenerateWorkload(timed, shape, length, generation);
                    return (() => workload.Run(), workload);
                });
                return;
            }

            using var generate = new GenerateWorkload(backend, shape, length, generation);
            Timing timing = Timing.Of(backend, steps, warmup, () => generate.Run());
            new BenchmarkResult(backend, work, timing, steps, shape.Batch * generation.MaxNewTokens)
            {
                WeightGbPerS = GenerateWorkload.WeightBytes(backend, shape) * generation.MaxNewTokens / timing.Median / 1e6,
                ReadGbPerS = Peak.Read(backend),
            }.Print(options.Json(parsed));
        });
        return command;
    }
}
