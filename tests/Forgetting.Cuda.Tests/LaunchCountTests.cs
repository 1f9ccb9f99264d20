using Forgetting.Backends;
using Forgetting.Backends.Cuda;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// How often the driver and cuBLAS are called: counts that are the same on every machine, and what a step or a token costs beside the
/// card's own work.
/// </summary>
[Collection("emulation")]
public sealed class LaunchCountTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    private static readonly ModelConfig s_model =
        ReferenceConfigs.All["llama"] with { Layers = 1, VocabularySize = 41, ContextLength = 64 };

    [EmulationFact]
    public void Ragged_steps_are_replayed()
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using var decoder = new Decoder(s_model, backend);
        decoder.Initialize(5);
        using var step = new TrainingStep(decoder, TrainingStepTests.Full);
        using var optimizer = new AdamWOptimizer(backend, decoder.TrainableParameters, TrainingStepTests.Full);
        var random = new Random(7);
        TrainingSet set = Examples(random, 40);
        List<long> launches = [Launches()];
        var shapes = new HashSet<int>();
        for (int k = 0; k < 24; k++)
        {
            int[] chosen = [.. Enumerable.Range(0, 4).Select(_ => random.Next(40))];
            shapes.Add(chosen.Sum(i => set.Examples[i].Length));
            step.Begin(set, chosen, k);
            step.Accumulate(0.1);
            optimizer.Step(1e-3, 1 / Math.Max(1, step.GradientNorm()));
            launches.Add(Launches());
        }

        // Hardly a shape comes twice; the first step is launched piece by piece, and of the last twelve most are replayed.
        Assert.InRange(shapes.Count, 15, 24);
        Assert.InRange((launches[^1] - launches[^13]) / 12.0, 0, (launches[1] - launches[0]) / 4.0);
    }

    [EmulationTheory]
    [InlineData(0, 2, 5)]
    [InlineData(4, 1, 3)]
    public void The_optimiser_and_the_norm_are_launches_for_all_parameters_together(int rank, int update, int norm)
    {
        CudaBackend backend = backends.Of(DType.BFloat16);
        using var decoder = new Decoder(s_model, backend, rank == 0 ? null : new LoraConfig { Rank = rank, Alpha = 8 });
        decoder.Initialize(5);
        TrainingOptions options = TrainingStepTests.Full with { Compute = new() { MicroBatchTokens = 64, NoCudaGraphs = true } };
        using var step = new TrainingStep(decoder, options);
        using var optimizer = new AdamWOptimizer(backend, decoder.TrainableParameters, options);
        step.Begin(Examples(new Random(2), 2), [0, 1], 0);
        step.Accumulate(0);
        long before = CudaEmulation.CountCalls("cuLaunchKernel");
        double whole = step.GradientNorm();
        long between = CudaEmulation.CountCalls("cuLaunchKernel");
        double single = Math.Sqrt(TrainingStepTests.Concatenate(decoder, p => p.Gradient).Sum(g => (double)g * g));
        Assert.Equal(single, whole, 1e-6 * single);
        optimizer.Step(1e-3);
        Assert.Equal((norm, update), (between - before, CudaEmulation.CountCalls("cuLaunchKernel") - between));
    }

    // Two copies of what says which token stands where, one of a random number, the model, the draw, and the token's way back with a wait.
    [EmulationTheory]
    [InlineData(true, 7)]
    [InlineData(false, 69)]
    public void A_token_costs_no_more_calls_than_it_did(bool graphs, int expected)
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using var decoder = new Decoder(s_model with { Layers = 5 }, backend, training: false);
        decoder.Initialize(5);
        decoder.Repeats = graphs;
        List<long> calls = [];
        new Generator(decoder).Generate(
            [[1, 2, 3]], new GenerationOptions { MaxNewTokens = 6, StopIds = [] },
            (_, _) =>
            {
                calls.Add(CudaEmulation.CountCalls());
                return true;
            });

        Assert.Equal(expected, calls[^1] - calls[^2]);
    }

    [EmulationTheory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    public void Filling_a_batch_up_changes_no_loss(DType type)
    {
        CudaBackend backend = backends.Of(type);
        using var decoder = new Decoder(s_model, backend, training: false);
        decoder.Initialize(5);
        TrainingSet set = Examples(new Random(2), 3);
        TokenBatch batch = BatchBuilder.ForScoring(set.Examples, new MicroBatch(0, 3, 0), allTokens: true);
        TokenBatch filled = BatchFiller.Fill(batch, s_model.VocabularySize, s_model.ContextLength);
        Assert.True(filled.Rows > batch.Rows && filled.HeadRows.Length > batch.HeadRows.Length && filled.Documents > batch.Documents);
        float[] losses = new float[batch.HeadRows.Length], ofFilled = new float[filled.HeadRows.Length];
        decoder.Forward(batch, losses);
        decoder.Forward(filled, ofFilled);
        Assert.Equal(losses, ofFilled[..losses.Length]);
    }

    // Of 9 to 29 tokens, of which the first 2 to 7 are a prompt.
    private static TrainingSet Examples(Random random, int count)
    {
        EncodedExample[] examples = [.. Enumerable.Range(0, count).Select(index =>
        {
            int[] ids = [.. Enumerable.Range(0, random.Next(9, 30)).Select(_ => random.Next(s_model.VocabularySize))];
            int prompt = random.Next(2, 8);
            return new EncodedExample { Index = index, Ids = ids, Response = [.. ids.Select((_, t) => t >= prompt)] };
        })];
        return TrainingSet.AllPositive(examples);
    }

    private static long Launches() =>
        CudaEmulation.CountCalls("cuLaunchKernel") + CudaEmulation.CountCalls("cublasGemm") + CudaEmulation.CountCalls("cuGraphLaunch");
}
