using Forgetting.Backends.DryRun;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>The examples of a run whose memory is planned.</summary>
/// <param name="Training">What is learnt.</param>
/// <param name="Reference">What a reference is trained on; as the other where that is not here.</param>
internal sealed record PlannedData(IReadOnlyList<EncodedExample> Training, IReadOnlyList<EncodedExample> Reference);

/// <summary>
/// A run's stages on a backend that counts and has no memory: the same code asks for the same memory. The micro-batches are
/// those of the run's examples, or without examples as full as the settings allow, and every token of them is a response
/// token, so that no data can take more.
/// </summary>
/// <param name="ranks">Processes that share the run; what is asked for is what the first asks for.</param>
internal sealed class Rehearsal(
    ModelConfig config, TrainingOptions options, LoraConfig? lora, DryRunBackend backend, PlannedData? data, int ranks = 1)
{
    /// <summary>Who shares the stages.</summary>
    public ICommunicator Ranks { get; } = ranks == 1 ? SingleProcess.Instance : new RehearsedRanks(ranks);

    /// <summary>Tokens of the longest example.</summary>
    public int Length { get; } = Math.Max(2, ExampleLoader.LongestExample(config, options));

    /// <summary>The model.</summary>
    public ModelConfig Config => config;

    /// <summary>The run's examples, or as many as a step has.</summary>
    public IReadOnlyList<EncodedExample> Training => field ??= data?.Training ?? Examples(Sequences(options.Schedule.BatchSize));

    /// <summary>What a reference is trained on.</summary>
    public IReadOnlyList<EncodedExample> Reference => data?.Reference ?? Training;

    /// <summary>What passes over the data see, which fill their batches whatever the size of a step.</summary>
    public IReadOnlyList<EncodedExample> All => field ??= data?.Training ?? Examples(int.MaxValue);

    /// <summary>What the model will write, which is not known before.</summary>
    public IReadOnlyList<EncodedExample> Samples => Examples(int.MaxValue);

    /// <summary>A model without an adapter.</summary>
    public Decoder NewDecoder(bool training = false) => new(config, backend, training: training);

    /// <summary>A pass over examples with the base and a second model.</summary>
    public void Score(IReadOnlyList<EncodedExample> examples)
    {
        using Decoder decoder = Base(options);
        bool given = options.TokenForgetting.Reference is not null;
        using var reference =
            new Decoder(config, backend, given ? null : lora, training: false, baseType: given ? null : options.Lora.BaseType);
        Scorer.Losses([decoder, reference], examples, options.Compute.MicroBatchTokens, allTokens: false, ranks: Ranks);
    }

    /// <summary>Ordinary fine-tuning with the run's recipe (<see cref="PlainTuning"/>).</summary>
    public void TrainPlainly(IReadOnlyList<EncodedExample> examples) =>
        Train(PlainTuning.Settings(options, ""), TrainingSet.AllPositive(examples), unlearned: null, regularizer: null, evaluator: null);

    /// <summary>Training; bytes of base weights and adapter, of gradients, moments and masters, and of activations.</summary>
    public (long Weights, long State, long Activations) Train(
        TrainingOptions settings, TrainingSet set, TrainingSet? unlearned, IStepRegularizer? regularizer, IStepEvaluator? evaluator)
    {
        using var decoder = new Decoder(
            config, backend, lora, settings.Seed, sharding: TrainedModel.Sharding(settings, Ranks),
            baseType: settings.Lora.BaseType, trainedType: settings.Optimizer.TrainedType);
        long weights = decoder.BaseParameters.Concat(decoder.AdapterParameters).Sum(p => p.Value.Bytes);

        // Long enough for unlearning steps to have a place in it. Made-up examples are in the order that fills a micro-batch.
        TrainingOptions steps = settings with
        {
            Schedule = settings.Schedule with
            {
                Steps = Math.Max(
                    unlearned is null ? 1 : options.Unlearning.Interval + 1, data is null ? 1 : Trainer.CountSteps(settings, set.Counted)),
            },
            Data = settings.Data with { NoShuffle = settings.Data.NoShuffle || data is null },
        };
        using Decoder? baseModel = settings.HoldsBase ? Base(settings) : null;
        new Trainer(decoder, set, steps, "", observer: null, unlearned, regularizer, evaluator, baseModel, Ranks).Rehearse();
        int optimisers = unlearned != null && settings.ResolveMoments() == UnlearningMoments.Own ? 2 : 1,
            master = backend.StorageType == DType.Float32 ? 0 : sizeof(float); // apart from the weight
        long divided = decoder.TrainableParameters // an objective may train only some
            .Sum(p => (p.Master.Pointer == p.Value.Pointer ? 0 : p.Shape.Count * master)
                + (optimisers * AdamWOptimizer.MomentBytes(p, settings)));
        long state = decoder.GradientBytes + (divided / (decoder.Sharding?.Ranks ?? 1));
        return (weights, state, decoder.Activations.PeakBytes);
    }

    /// <summary>A result in which half of the tokens are negative, so that all that a method may measure is measured.</summary>
    public MethodResult HalfNegative(MethodResult result) => result with { Set = HalfNegative(result.Set.Examples) };

    /// <summary>What unlearning steps forget.</summary>
    /// <param name="samples">Some of these; null for any.</param>
    public TrainingSet Unlearned(IReadOnlyList<EncodedExample>? samples)
    {
        TrainingSet forget = HalfNegative(samples ?? Examples(Sequences(options.Unlearning.BatchSize ?? options.Schedule.BatchSize)));
        return TrainingSet.AllNegative(forget.Examples, forget.BaseLogProbabilities);
    }

    /// <summary>Made-up examples of given lengths, at least 2, of which all but the first token is a response.</summary>
    public static EncodedExample Answered(int length, int index)
    {
        var response = new bool[length];
        Array.Fill(response, true, 1, length - 1);
        return new EncodedExample { Index = index, Ids = new int[length], Response = response };
    }

    private TrainingSet HalfNegative(IReadOnlyList<EncodedExample> examples) => new()
    {
        Examples = examples,
        Signs = [.. examples.Select(
            e => Enumerable.Range(0, e.Length).Select(i => (sbyte)(!e.Response[i] ? 0 : i % 2 == 0 ? 1 : -1)).ToArray())],
        BaseLogProbabilities =
            options.NeedsBase || options.ResolveAscent().NeedsBase ? [.. examples.Select(e => new float[e.Length])] : null,
    };

    private Decoder Base(TrainingOptions settings) =>
        new(config, backend, settings.Adapter is null ? null : lora, training: false, baseType: settings.Lora.BaseType);

    // Of a step's micro-batches one is like the other: two full ones and a rest take what any number takes.
    private int Sequences(int batchSize) => Math.Min(batchSize, (2 * Math.Max(1, options.Compute.MicroBatchTokens / Length)) + 2);

    // The longest examples, of which a shorter one makes a micro-batch of just as many tokens as there may be; at most so many of them.
    private EncodedExample[] Examples(int most)
    {
        int tokens = most < int.MaxValue ? options.PassTokens : options.Compute.MicroBatchTokens; // of a step's, or a pass over the data
        int whole = Math.Clamp(tokens / Length, 1, most), rest = tokens - (whole * Length);
        List<int> lengths = [.. Enumerable.Repeat(Length, whole)];
        if (rest >= 2 && whole < most)
            lengths.Insert(0, rest);

        // The rest of a step.
        if (most < int.MaxValue)
            lengths.AddRange(Enumerable.Repeat(Length, most - lengths.Count));

        return [.. lengths.Select(Answered)];
    }
}
