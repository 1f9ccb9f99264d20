using System.CommandLine;
using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>fisher</c>: times the exact diagonal Fisher information of a batch, and the reductions of the forgetting confidence,
/// against one ordinary forward and backward pass over it and against a loop over its examples;
/// <c>bench/peers/gpu_fisher.py</c> does the first in PyTorch.
/// </summary>
internal static class FisherCommand
{
    public static Command Create()
    {
        var command = new Command(
            "fisher", "Time the Fisher information and the forgetting confidence against an ordinary forward and backward pass.");
        var options = new WorkloadOptions(command, steps: 5, warmup: 2);
        command.SetAction(parsed =>
        {
            StepSettings settings = options.Settings(parsed);
            int steps = options.Steps(parsed), warmup = options.Warmup(parsed);
            using IBackend backend = options.Backend(parsed);
            IReadOnlyList<EncodedExample> examples = StepWorkload.Examples(settings);
            Measurement fisher = Measure(backend, settings, steps, warmup, decoder =>
                () => FisherInformation.Compute(decoder, examples, FisherKind.Empirical, settings.Tokens, seed: 1));
            Measurement ordinary = Measure(backend, settings, steps, warmup, decoder =>
            {
                TokenBatch batch = Whole(examples);
                var sink = new AccumulateSink(backend);
                return () => Pass(decoder, batch, sink, zero: true);
            });
            Measurement confidence = Measure(backend, settings, steps, warmup, decoder =>
            {
                // The values of F∘Δ and F do not matter to the time.
                var projections = decoder.BaseParameters.ToDictionary(p => p, p => new Projection(p.Gradient, p.Master));
                TokenBatch batch = Whole(examples);
                var results = new Arena(backend);
                var sink = new ProjectSink(backend, projections) { Result = results.Take(examples.Count, 2) };
                return () => Pass(decoder, batch, sink, zero: false);
            });
            Measurement loop = Measure(backend, settings, steps, warmup, decoder => Loop(decoder, examples));
            var result = new FisherResult(
                backend, $"{settings.ModelName} {settings.Batch}x{settings.Length} Fisher", fisher.Timing, steps, settings.Tokens)
            {
                BackwardMs = ordinary.Timing.Median,
                ConfidenceMs = confidence.Timing.Median,
                LoopMs = loop.Timing.Median,
                ProcessorRatio = fisher.Timing.Processor / ordinary.Timing.Processor,
                ConfidenceProcessorRatio = confidence.Timing.Processor / ordinary.Timing.Processor,
                LoopProcessorRatio = loop.Timing.Processor / ordinary.Timing.Processor,
                ActivationBytes = fisher.Activations,
                BackwardActivationBytes = ordinary.Activations,
                ConfidenceActivationBytes = confidence.Activations,
                LoopActivationBytes = loop.Activations,
                PeakBytes = fisher.DeviceBytes,
            };
            if (options.Json(parsed))
            {
                BenchmarkResult.PrintJson(result);
                return;
            }

            Console.WriteLine($"{result.Work}, {result.Products}; medians of {steps}, ratios to the ordinary pass");
            Console.WriteLine("| work | ms | ratio | processor ms | ratio | activations MiB | gradient-sized tensors |");
            Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|");
            foreach ((string name, Measurement m, int tensors) in new[] { ("forward and backward", ordinary, 1), (
                "Fisher information", fisher, 1), ("forgetting confidence", confidence, 2), ("Fisher, one example at a time", loop, 2) })
            {
                Console.WriteLine(
                    $"| {name} | {m.Timing.Median:F1} | {m.Timing.Median / ordinary.Timing.Median:F2} | {m.Timing.Processor:F1} | "
                    + $"{m.Timing.Processor / ordinary.Timing.Processor:F2} | {m.Activations / 1048576.0:F1} | {tensors} |");
            }
        });
        return command;
    }

    // What has to be done without a sink that squares: a batch of one, then F += g² over all parameters.
    private static Action Loop(Decoder decoder, IReadOnlyList<EncodedExample> examples)
    {
        IBackend backend = decoder.Backend;
        var sums = new Arena(backend);
        Tensor[] sum = [.. decoder.TrainableParameters.Select(p => sums.Take(p.Shape))];
        var sink = new AccumulateSink(backend);
        TokenBatch[] batches = [.. examples.Select(e => Whole([e]))];
        return () =>
        {
            foreach (TokenBatch batch in batches)
            {
                Pass(decoder, batch, sink, zero: true);
                for (int i = 0; i < sum.Length; i++)
                {
                    Tensor gradient = decoder.TrainableParameters[i].Gradient;
                    backend.Multiply(gradient, gradient, gradient);
                    backend.Axpy(1, gradient, sum[i]);
                }
            }
        };
    }

    private static void Pass(Decoder decoder, TokenBatch batch, IGradientSink sink, bool zero)
    {
        if (zero)
            decoder.ZeroGradients();

        decoder.ForwardBackward(batch, default, sink, new float[batch.HeadRows.Length]);
    }

    private static TokenBatch Whole(IReadOnlyList<EncodedExample> examples)
    {
        float[][] ones = [.. examples.Select(e => Enumerable.Repeat(1f, e.Length).ToArray())];
        return BatchBuilder.Create(examples, new MicroBatch(0, examples.Count, 0), ones);
    }

    // On a model of its own, so that its activations are its own too.
    private static Measurement Measure(IBackend backend, StepSettings settings, int steps, int warmup, Func<Decoder, Action> prepare)
    {
        long? free = WorkloadOptions.FreeBytes(backend);
        using var decoder = new Decoder(settings.Model, backend);
        decoder.Initialize(1);
        decoder.AllocateGradients();
        Action work = prepare(decoder);
        Timing timing = Timing.Of(backend, steps, warmup, work);
        return new Measurement(timing, decoder.Activations.PeakBytes, free - WorkloadOptions.FreeBytes(backend));
    }

    /// <summary>Time; bytes of activations, and of all that the card holds.</summary>
    private sealed record Measurement(Timing Timing, long Activations, long? DeviceBytes);

    /// <summary>
    /// The Fisher information's time is the result's; beside it an ordinary pass, the confidence and the
    /// loop, and ratios to the ordinary pass.
    /// </summary>
    private sealed record FisherResult : BenchmarkResult
    {
        public FisherResult(IBackend backend, string work, Timing timing, int steps, double tokens)
            : base(backend, work, timing, steps, tokens)
        {
        }

        public required double BackwardMs { get; init; }

        public required double ConfidenceMs { get; init; }

        public required double LoopMs { get; init; }

        public required double ProcessorRatio { get; init; }

        public required double ConfidenceProcessorRatio { get; init; }

        public required double LoopProcessorRatio { get; init; }

        public required long ActivationBytes { get; init; }

        public required long BackwardActivationBytes { get; init; }

        public required long ConfidenceActivationBytes { get; init; }

        public required long LoopActivationBytes { get; init; }
    }
}
