using System.CommandLine;
using System.Text.Json;
using Forgetting.Backends;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Cuda;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>
/// <c>launches</c>: how often the driver and cuBLAS are called for steps and tokens, counted by the emulation, and the launches of steps of
/// a large model, counted by <see cref="RooflineCommand"/>; written to a file. The same on every machine.
/// </summary>
internal static class LaunchesCommand
{
    private const int Steps = 12;

    public static Command Create()
    {
        var file = new Option<string>("--out") { DefaultValueFactory = _ => "bench/results/launches.json" };
        var command = new Command("launches", "Count calls of the driver and cuBLAS for steps and tokens; needs the emulation.") { file };
        command.SetAction(parsed =>
        {
            using CudaBackend backend = CardSurvey.OpenEmulation(DType.Float32, checks: false);
            var counts = new
            {
                ragged_steps_full = Both(graphs => RaggedSteps(backend, rank: 0, graphs)),
                ragged_steps_lora_4 = Both(graphs => RaggedSteps(backend, rank: 4, graphs)),
                token = Both(graphs => Token(backend, graphs)),
                step_1x2048_full = LargeStep(batch: 1, rank: 0),
                step_1x2048_lora_16 = LargeStep(batch: 1, rank: 16),
                step_8x2048_full = LargeStep(batch: 8, rank: 0),
                step_8x2048_lora_16 = LargeStep(batch: 8, rank: 16),
            };
            string json = JsonSerializer.Serialize(counts, BenchmarkResult.Json) + "\n";
            File.WriteAllText(parsed.GetValue(file)!, json);
            Console.Write(json);
        });
        return command;
    }

    private static object Both(Func<bool, long> count) => new { one_by_one = count(false), graphs = count(true) };

    // Launches of twelve steps over 2 blocks, of 6 examples each of 9 to 59 tokens, after twelve such steps.
    private static long RaggedSteps(IBackend backend, int rank, bool graphs)
    {
        var settings = new StepSettings(32, 2, 4, 64, 41, Batch: 6, Length: 60, LoraRank: rank, NoCudaGraphs: !graphs);
        using var decoder = new Decoder(settings.Model, backend, settings.Adapter);
        decoder.Initialize(1);
        using var step = new TrainingStep(decoder, settings.Options);
        using var optimizer = new AdamWOptimizer(backend, decoder.TrainableParameters, settings.Options);
        var random = new Random(7);
        TrainingSet set = TrainingSet.AllPositive([.. Enumerable.Range(0, 40).Select(index =>
        {
            int length = random.Next(9, settings.Length);
            return new EncodedExample
            {
                Index = index,
                Ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(settings.Vocab))],
                Response = [.. Enumerable.Range(0, length).Select(token => token > 4)],
            };
        })]);
        long before = 0;
        for (int k = 0; k < 2 * Steps; k++)
        {
            before = k == Steps ? Launches() : before;
            step.Begin(set, [.. Enumerable.Range(0, settings.Batch).Select(_ => random.Next(40))], k);
            step.Accumulate(0);
            optimizer.Step(1e-3, 1 / Math.Max(1, step.GradientNorm()));
        }

        return Launches() - before;
    }

    // All calls for a generated token of a model of 5 blocks.
    private static long Token(IBackend backend, bool graphs)
    {
        using var decoder = new Decoder(new StepSettings(32, 5, 4, 64, 41, Length: 60).Model, backend, training: false);
        decoder.Repeats = graphs;
        decoder.Initialize(1);
        List<long> calls = [];
        new Generator(decoder).Generate(
            [[1, 2, 3]], new GenerationOptions { MaxNewTokens = 6, StopIds = [] },
            (_, _) =>
            {
                calls.Add(CudaEmulation.CountCalls());
                return true;
            });
        return calls[^1] - calls[^2];
    }

    // Launches of a step of a model of Llama-3.2-1B's shape.
    private static int LargeStep(int batch, int rank) =>
        RooflineCommand.Launches(new StepSettings(2048, 16, 32, 8192, 128256, batch, Length: 2048, rank, KeyValueHeads: 8));

    private static long Launches() =>
        CudaEmulation.CountCalls("cuLaunchKernel") + CudaEmulation.CountCalls("cublasGemm") + CudaEmulation.CountCalls("cuGraphLaunch");
}
