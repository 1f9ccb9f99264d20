using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>fisher</c>: times the exact diagonal Fisher information of a batch against one ordinary forward and backward pass over it;
/// <c>bench/peers/gpu_fisher.py</c> does the same in PyTorch.
/// </summary>
internal static class FisherCommand
{
    public static Command Create()
    {
        var command = new Command("fisher", "Time the diagonal Fisher information against an ordinary forward and backward pass.");
        var options = new WorkloadOptions(command, steps: 5, warmup: 2);
        command.SetAction(parsed =>
        {
            StepSettings settings = options.Settings(parsed);
            int steps = options.Steps(parsed), warmup = options.Warmup(parsed);
            using IBackend backend = options.Backend(parsed);
            long? free = WorkloadOptions.FreeBytes(backend);
            using var decoder = new Decoder(settings.Model, backend);
            decoder.Initialize(1);
            IReadOnlyList<EncodedExample> examples = StepWorkload.Examples(settings);
            double[] fisher = Times(steps, warmup, () =>
            {
                FisherInformation.Compute(decoder, examples, FisherKind.Empirical, settings.Tokens, seed: 1);
                backend.Synchronize();
            });
            long? bytes = free - WorkloadOptions.FreeBytes(backend);

            using var step = new TrainingStep(decoder, settings.Options);
            TrainingSet set = TrainingSet.AllPositive(examples);
            int[] chosen = [.. Enumerable.Range(0, settings.Batch)];
            double[] ordinary = Times(steps, warmup, () =>
            {
                step.Begin(set, chosen, 0);
                step.Accumulate(0);
                backend.Synchronize();
            });
            var result = new
            {
                Program = "forgetting",
                Work = $"{settings.Dim}x{settings.Layers} {settings.Batch}x{settings.Length} Fisher",
                Device = backend.Name,
                Products = WorkloadOptions.Products(backend),
                Steps = steps,
                Ms = fisher[steps / 2],
                BestMs = fisher[0],
                BackwardMs = ordinary[steps / 2],
                TokensPerSecond = settings.Tokens / fisher[steps / 2] * 1e3,
                PeakBytes = bytes,
            };
            Console.WriteLine(options.Json(parsed)
                ? JsonSerializer.Serialize(result, StepCommand.Json)
                : $"{result.Work}: median {result.Ms:F1} ms (best {result.BestMs:F1}), {result.Ms / result.BackwardMs:F2} times an ordinary pass "
                    + $"({result.BackwardMs:F1} ms), {result.Products}");
        });
        return command;
    }

    // Sorted milliseconds.
    private static double[] Times(int steps, int warmup, Action work)
    {
        for (int i = 0; i < warmup; i++)
            work();

        var times = new double[steps];
        for (int i = 0; i < steps; i++)
        {
            long start = Stopwatch.GetTimestamp();
            work();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }

        Array.Sort(times);
        return times;
    }
}
