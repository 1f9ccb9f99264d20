using Forgetting.Backends.Cpu;
using Forgetting.Backends.DryRun;
using Forgetting.Backends.Selection;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What a stage of a run takes.</summary>
/// <param name="Stage">Name of a method's stage, or training.</param>
/// <param name="Bytes">Most memory of the device at any time of the stage.</param>
internal sealed record StageMemory(string Stage, long Bytes);

/// <summary>
/// The device memory that a run takes, found by running its stages on a backend that counts and has no memory: the same code asks for the
/// same memory. The micro-batches are those of the run's examples, or without examples as full as the settings allow, and every token of
/// them is a response token, so that no data can take more.
/// </summary>
internal sealed record MemoryPlan
{
    private const long RunOverhead = 30L << 20, StagesOverhead = 11L << 20, DataOverhead = 15L << 20;

    /// <summary>The stages that hold a model, in their order.</summary>
    public required IReadOnlyList<StageMemory> Stages { get; init; }

    /// <summary>Most memory at any time of the run.</summary>
    public long Peak => Stages.Max(s => s.Bytes);

    /// <summary>
    /// Host memory of the program itself: what the process holds now, when it has read its input and no weights, and what running adds
    /// beside the device's memory. It was found by measuring runs of several sizes and methods: some tens of MiB of machine code, work
    /// space of the operations and garbage not yet collected, and more where stages leave models to each other.
    /// </summary>
    public required long Program { get; init; }

    /// <summary>Most resident memory of the process in the run where the device is the CPU, whose memory is the process's.</summary>
    public long Resident => Peak + Program;

    /// <summary>In training: base weights and adapter in storage type.</summary>
    public required long Weights { get; init; }

    /// <summary>
    /// In training: gradients, both moments (where unlearning steps have their own, those too) and, where they are not the weights
    /// themselves, masters of what is trained; of what ranks divide, the part of one.
    /// </summary>
    public required long State { get; init; }

    /// <summary>In training: activations of a pass, the head's logits included; what a run reserves for them.</summary>
    public required long Activations { get; init; }

    /// <summary>Predicts a run.</summary>
    /// <param name="config">The model.</param>
    /// <param name="options">Method, adapter, batches, lengths, recomputation; nothing that they name is opened.</param>
    /// <param name="device">Device, as <c>--device</c> names it.</param>
    /// <param name="storageType">Element type of weights and activations there.</param>
    /// <param name="lora">The adapter, or null where all weights are trained.</param>
    /// <param name="data">The run's examples, or null for any that the settings admit.</param>
    /// <param name="evaluator">Evaluates the model in training, or null.</param>
    /// <param name="methods">The run's methods; null for those of the settings.</param>
    /// <param name="ranks">Processes that train together; planned is the memory of the first.</param>
    public static MemoryPlan Create(
        ModelConfig config, TrainingOptions options, string device, DType storageType, LoraConfig? lora, PlannedData? data = null,
        IStepEvaluator? evaluator = null, IReadOnlyList<IMethod>? methods = null, int ranks = 1)
    {
        methods ??= MethodList.Create(options);
        if (device != "cpu")
        {
            using var card = new DryRunBackend(device, storageType);
            return Create(config, options, lora, card, data, evaluator, methods, ranks);
        }

        using var pool = new WorkerPool(1);
        using IMatMul products = BackendFactory.CpuMatMul(
            options.Compute.Dtype == "bf16" ? DType.BFloat16 : DType.Float32, options.Compute.Products)(pool);
        using var backend = new DryRunBackend(products);
        return Create(config, options, lora, backend, data, evaluator, methods, ranks);
    }

    private static MemoryPlan Create(
        ModelConfig config, TrainingOptions options, LoraConfig? lora, DryRunBackend backend, PlannedData? data, IStepEvaluator? evaluator,
        IReadOnlyList<IMethod> methods, int ranks)
    {
        // The rehearsal's own garbage is the collector's to give back.
        long before = Environment.WorkingSet;
        var rehearsal = new Rehearsal(config, options, lora, backend, data, ranks);
        List<StageMemory> stages = [];
        foreach (MethodStage stage in methods.SelectMany(m => m.Stages).SelectMany(s => s.Within.Append(s)))
        {
            if (stage.Rehearse is { } rehearse)
                Stage(stage.Name, () => rehearse(rehearsal));
        }

        MethodResult result = methods.Aggregate(
            new MethodResult(TrainingSet.AllPositive(rehearsal.Training)), (sofar, method) => method.Rehearse(rehearsal, sofar));
        (long Weights, long State, long Activations) parts = default;
        Stage(
            "training",
            () => parts = rehearsal.Train(
                options, result.Set, result.Unlearned, Regularizers.Create(options.Optimizer, config), evaluator));
        return new MemoryPlan
        {
            Stages = stages, Weights = parts.Weights, State = parts.State, Activations = parts.Activations,
            // Where data is to come yet, so are what reads it and the examples.
            Program = before + RunOverhead + (stages.Count > 1 ? StagesOverhead : 0) + (data is null ? DataOverhead : 0),
        };

        void Stage(string name, Action run)
        {
            backend.Use.ResetPeak();
            run();
            stages.Add(new StageMemory(name, backend.Use.Peak));
        }
    }
}
