using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>score</c>: times the losses of many examples under two models; the peer in <c>bench/peers/torchsharp</c> does the same in PyTorch.
/// </summary>
internal static class ScoreCommand
{
    public static Command Create()
    {
        var shown = new ScoreSettings();
        Option<int> examples = WorkloadOptions.Number("--examples", shown.Examples),
            shortest = WorkloadOptions.Number("--shortest", shown.Shortest),
            longest = WorkloadOptions.Number("--longest", shown.Longest),
            tokens = WorkloadOptions.Number("--micro-batch-tokens", new TrainingOptions().Compute.MicroBatchTokens);
        Option<bool> profile = OperationProfile.Option();
        var command =
            new Command("score", "Time the scoring of examples with two models.") { examples, shortest, longest, tokens, profile };
        var options = new WorkloadOptions(command, steps: 1, warmup: 0);
        command.SetAction(parsed =>
        {
            StepSettings shape = options.Settings(parsed);
            var settings = new ScoreSettings(parsed.GetValue(examples), parsed.GetValue(shortest), parsed.GetValue(longest));
            string work = $"{shape.ModelName} {settings}";
            int steps = options.Steps(parsed), warmup = options.Warmup(parsed);
            using IBackend backend = options.Backend(parsed);
            if (parsed.GetValue(profile))
            {
                OperationProfile.Print(backend, work, steps, warmup, timed =>
                {
                    var workload = new ScoreWorkload(timed, shape, settings, parsed.GetValue(tokens));
                    return (() => workload.Run(), workload);
                });
                return;
            }

            using var score = new ScoreWorkload(backend, shape, settings, parsed.GetValue(tokens));
            Timing timing = Timing.Of(backend, steps, warmup, () => score.Run());
            new BenchmarkResult(backend, work, timing, steps, 2.0 * settings.Lengths.Sum(), ScoreWorkload.Operations(shape, settings))
                .Print(options.Json(parsed));
        });
        return command;
    }
}
