using Forgetting.Backends;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>The model that a run trains: all of its weights, or an adapter.</summary>
internal static class TrainedModel
{
    /// <summary>The model with the adapter that the settings ask for, new or continued, its weights loaded.</summary>
    /// <param name="communicator">The ranks that train it, among which the settings may divide it; null for this process alone.</param>
    internal static LoadedModel Load(TrainingOptions options, IBackend backend, ICommunicator? communicator = null)
    {
        LoadedModel model = LoadedModel.Load(
            options.Model, backend, NewAdapter(options), options.Seed, training: true, options.Adapter,
            Sharding(options, communicator ?? SingleProcess.Instance), options.Lora.BaseType, options.Optimizer.TrainedType);
        model.TurnEnd = ChatLayout.TurnEnd(model.Tokenizer, ExampleLoader.Layout(options));
        return model;
    }

    /// <summary>What ranks divide of the model by the settings; null where each holds all.</summary>
    internal static Sharding? Sharding(TrainingOptions options, ICommunicator communicator) =>
        communicator.Size == 1 || !options.Compute.DividesState ? null
            : new Sharding(communicator.Rank, communicator.Size, options.Compute.DividesGradients);

    /// <summary>The model before training: with the adapter that is continued, without a new one.</summary>
    internal static LoadedModel LoadBase(TrainingOptions options, IBackend backend, bool training = false) =>
        LoadedModel.Load(options.Model, backend, training: training, adapter: options.Adapter, baseType: options.Lora.BaseType);

    /// <summary>The new adapter that the settings ask for; null where all weights are trained or an adapter is continued.</summary>
    public static LoraConfig? NewAdapter(TrainingOptions options) =>
        options.Lora.Rank == 0 || options.Adapter != null ? null : new LoraConfig
        {
            Rank = options.Lora.Rank,
            Alpha = options.Lora.Alpha,
            Dropout = options.Lora.Dropout,
            RankStabilized = options.Lora.RankStabilized,
            Dora = options.Lora.Dora,
            Targets = options.Lora.Targets is ["all-linear"] ? [] : options.Lora.Targets, // PEFT's word for it
        };

    /// <summary>
    /// <see cref="NewAdapter(TrainingOptions)"/>, of a rank that makes sense for a model: up to the width of its
    /// widest layer, and the default always.
    /// </summary>
    /// <exception cref="UserException">The rank is above that.</exception>
    public static LoraConfig? NewAdapter(TrainingOptions options, ModelConfig model)
    {
        int most =
            Math.Max(new LoraSettings().Rank, Math.Max(model.IntermediateSize, Math.Max(model.HiddenSize, model.Heads * model.HeadSize)));
        return options.Lora.Rank <= most
            ? NewAdapter(options)
            : throw new UserException($"lora-rank is {options.Lora.Rank}, expected at most {most}, the width of the model's widest layer");
    }

    /// <summary>Rank, scale and targets of an adapter.</summary>
    public static LoraConfig AdapterConfig(string path)
    {
        using PeftAdapter adapter = PeftAdapter.Open(path);
        return adapter.Config;
    }
}
