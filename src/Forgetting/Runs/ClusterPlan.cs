using Forgetting.Backends.DryRun;
using Forgetting.Backends.Selection;
using Forgetting.Backends.Timing;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What a card does.</summary>
/// <param name="Rate">Floating-point operations a second in products.</param>
/// <param name="Bandwidth">Bytes that it reads and writes a second.</param>
/// <param name="Memory">Bytes.</param>
internal sealed record CardSpeed(double Rate, double Bandwidth, double Memory);

/// <summary>What is divided among ranks instead of held by each.</summary>
internal enum PlannedSharding
{
    /// <summary>Nothing; gradients are summed.</summary>
    None,

    /// <summary>Moments and masters (ZeRO-1, arXiv 1910.02054).</summary>
    Optimizer,

    /// <summary>And gradients (ZeRO-2).</summary>
    Gradients,

    /// <summary>And the weights (ZeRO-3).</summary>
    Parameters,
}

/// <summary>A step of training on many cards.</summary>
/// <param name="Sharding">What is divided.</param>
/// <param name="Compute">Seconds of a card's work.</param>
/// <param name="Network">Seconds of what cards say to each other, none of it behind the work.</param>
/// <param name="Memory">Bytes of a card.</param>
internal sealed record PlannedStep(PlannedSharding Sharding, double Compute, double Network, double Memory)
{
    /// <summary>Seconds.</summary>
    public double Seconds => Compute + Network;

    /// <summary>Share of the time that is work.</summary>
    public double Efficiency => Compute / Seconds;
}

/// <summary>
/// Predicts a step on cards that are not here: the program's own step runs on a backend without memory, what it asks for takes at best the
/// time of its operations or of its bytes, and collectives take what their algorithms need over the given links.
/// </summary>
internal static class ClusterPlan
{
    /// <summary>Predicts a step with each sharding.</summary>
    /// <param name="config">The model.</param>
    /// <param name="options">
    /// Batch, lengths, micro-batches, adapter, recomputation, storage type (bf16 unless fp32). The batch is divided evenly.
    /// </param>
    public static IReadOnlyList<PlannedStep> Steps(ModelConfig config, TrainingOptions options, CardSpeed card, ClusterShape cluster)
    {
        int cards = cluster.Cards;
        TrainingOptions own = options with
        {
            Schedule = options.Schedule with { BatchSize = Math.Max(1, (options.Schedule.BatchSize + cards - 1) / cards) },
        };
        LoraConfig? lora = TrainedModel.NewAdapter(own, config);
        DType type = BackendFactory.Describe("cuda", own.Compute.Dtype).StorageType;
        MemoryPlan memory = MemoryPlan.Create(config, own, "cuda", type, lora);
        Work work = Count(config, own, lora, card, type);

        // Gradients, both moments and, where they are not the weights themselves, masters are as large.
        int copies = type == DType.Float32 ? 2 : 3;
        double trained = memory.State / (copies + 1.0), weights = memory.Weights, values = trained * type.Size() / sizeof(float);
        return
        [
            .. Enum.GetValues<PlannedSharding>().Select(sharding =>
            {
                double share = sharding == PlannedSharding.None ? 1 : 1.0 / cards;
                double held = (sharding >= PlannedSharding.Parameters ? (weights / cards) + (2 * work.BlockWeights) : weights)
                    + (sharding >= PlannedSharding.Gradients ? (trained / cards) + (2 * work.BlockGradients) : trained)
                    + (copies * trained * share) + memory.Activations;
                double network = cards == 1 ? 0 : sharding switch
                {
                    PlannedSharding.None => cluster.AllReduce(trained),
                    PlannedSharding.Optimizer => cluster.Scatter(trained) + cluster.Scatter(values),
                    PlannedSharding.Gradients => (work.MicroBatches * cluster.Scatter(trained)) + cluster.Scatter(values),
                    // Weights come for the forward and again for the backward, trained or not.
                    _ => work.MicroBatches * (cluster.Scatter(trained) + (2 * cluster.Scatter(weights))),
                };
                return new PlannedStep(sharding, work.Passes + (work.Optimizer * share), network, held);
            }),
        ];
    }

    // Seconds of the passes and of the optimiser's step on one card.
    private static Work Count(ModelConfig config, TrainingOptions options, LoraConfig? lora, CardSpeed card, DType type)
    {
        using var backend = new DryRunBackend("cuda", type);
        var counted = new TimedBackend(backend);
        using var decoder = new Decoder(config, counted, lora, options.Seed);
        var rehearsal = new Rehearsal(config, options, lora, backend, data: null);
        TrainingSet set = TrainingSet.AllPositive(rehearsal.Training);
        int sequences = options.Schedule.BatchSize;
        using var step = new TrainingStep(decoder, options);
        using var optimizer = new AdamWOptimizer(counted, decoder.TrainableParameters, options);
        int some = Math.Min(sequences, set.Examples.Count);
        step.Begin(set, [.. Enumerable.Range(0, some)], 0);
        counted.Clear();
        step.Accumulate(0);
        double passes = Time() * sequences / some;
        counted.Clear();
        optimizer.Step(options.Optimizer.LearningRate);
        double update = Time();
        long tokens = (long)sequences * rehearsal.Length;
        return new Work(
            passes, update, Math.Max(1, (int)((tokens + options.PassTokens - 1) / options.PassTokens)),
            Largest(decoder.BaseParameters) * type.Size(), Largest(decoder.TrainableParameters) * DType.Float32.Size());

        double Time() => counted.Times.Sum(one => Math.Max(one.Value.Operations / card.Rate, one.Value.Bytes / card.Bandwidth));
    }

    // Elements of the block that has the most.
    private static double Largest(IEnumerable<Parameter> parameters) =>
        parameters.GroupBy(p => BlockOf(p.Name)).Max(block => block.Sum(p => (double)p.Shape.Count));

    // A parameter's name up to the number of its block; other tensors are by themselves.
    private static string BlockOf(string name)
    {
        string[] parts = name.Split('.');
        int number = Array.FindIndex(parts, part => int.TryParse(part, out _));
        return number < 0 ? name : string.Join('.', parts[..(number + 1)]);
    }

    private sealed record Work(double Passes, double Optimizer, int MicroBatches, double BlockWeights, double BlockGradients);
}
