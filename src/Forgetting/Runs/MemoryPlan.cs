using Forgetting.Backends.Cpu;
using Forgetting.Backends.DryRun;
using Forgetting.Backends.Selection;
using Forgetting.Data;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What a stage of a run takes.</summary>
/// <param name="Stage">reference, scoring, elicit, learn, fisher, confidence or training.</param>
/// <param name="Bytes">Most memory of the device at any time of the stage.</param>
internal sealed record StageMemory(string Stage, long Bytes);

/// <summary>
/// The device memory that a run takes, found by running its stages on a backend that counts and has no memory: the same code asks for the same memory. The
/// micro-batches are those of the run's examples, or without examples as full as the settings allow, and every token of them is a response token, so that no data can take more.
/// </summary>
internal sealed record MemoryPlan
{
    private const long RunOverhead = 30L << 20, StagesOverhead = 11L << 20, DataOverhead = 15L << 20;

    /// <summary>The stages that hold a model, in their order.</summary>
    public required IReadOnlyList<StageMemory> Stages { get; init; }

    /// <summary>Most memory at any time of the run.</summary>
    public long Peak => Stages.Max(s => s.Bytes);

    /// <summary>
    /// Host memory of the program itself: what the process holds now, when it has read its input and no weights, and what running adds beside the device's memory. It was found by
    /// measuring runs of several sizes and methods: some tens of MiB of machine code, work space of the operations and garbage
    /// not yet collected, and more where stages leave models to each other.
    /// </summary>
    public required long Program { get; init; }

    /// <summary>Most resident memory of the process in the run where the device is the CPU, whose memory is the process's.</summary>
    public long Resident => Peak + Program;

    /// <summary>In training: base weights and adapter in storage type.</summary>
    public required long Weights { get; init; }

    /// <summary>In training: gradients, both moments and, where they are not the weights themselves, masters of what is trained.</summary>
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
    public static MemoryPlan Of(
        ModelConfig config, TrainingOptions options, string device, DType storageType, LoraConfig? lora, PlannedData? data = null, IStepEvaluator? evaluator = null)
    {
        if (device != "cpu")
        {
            using var card = new DryRunBackend(device, storageType);
            return new Rehearsal(config, options, lora, card, data, evaluator).Run();
        }

        using var pool = new WorkerPool(1);
        using IMatrixProducts products = BackendFactory.CpuProducts(options.Compute.Dtype == "bf16" ? DType.BFloat16 : DType.Float32, options.Compute.Products)(pool);
        using var backend = new DryRunBackend(products);
        return new Rehearsal(config, options, lora, backend, data, evaluator).Run();
    }

    private sealed class Rehearsal(ModelConfig config, TrainingOptions options, LoraConfig? lora, DryRunBackend backend, PlannedData? data, IStepEvaluator? evaluator)
    {
        // One that ends a generation at once: what a counting backend draws.
        private const int Drawn = 0;

        private readonly int _length = Math.Max(2, ExampleLoader.LongestExample(config, options));
        private readonly List<StageMemory> _stages = [];

        public MemoryPlan Run()
        {
            // The rehearsal's own garbage is the collector's to give back.
            long before = Environment.WorkingSet;
            IReadOnlyList<EncodedExample> training = data?.Training ?? Examples(Sequences(options.Schedule.BatchSize));
            IReadOnlyList<EncodedExample> reference = data?.Reference ?? training;

            // Passes over the data fill their batches whatever the size of a step.
            IReadOnlyList<EncodedExample> all = data?.Training ?? Examples(int.MaxValue);
            bool scores = !options.LearnsAll && options.TokenForgetting.Scores is null && data is not { Scored: false };
            if (scores && options.TokenForgetting.Reference is null)
                Stage("reference", () => Train(PlainTuning.Settings(options, ""), TrainingSet.AllPositive(reference), null, null));

            if (scores)
                Stage("scoring", () => Score(all));

            if (options.Unlearns)
                RunUnlearningStages(training, all);

            // What the model will write is not known before.
            TrainingSet forget = Signed(Examples(Sequences(options.Unlearning.BatchSize ?? options.Schedule.BatchSize)));
            TrainingSet? unlearned = options.Unlearns ? TrainingSet.AllNegative(forget.Examples, forget.BaseLogProbabilities) : null;
            (long Weights, long State, long Activations) parts = default;
            Stage("training", () => parts = Train(options, options.LearnsAll ? TrainingSet.AllPositive(training) : Signed(training), unlearned, evaluator));
            return new MemoryPlan
            {
                Stages = _stages, Weights = parts.Weights, State = parts.State, Activations = parts.Activations,
                // Where data is to come yet, so are what reads it and the examples.
                Program = before + RunOverhead + (_stages.Count > 1 ? StagesOverhead : 0) + (data is null ? DataOverhead : 0),
            };
        }

        private void RunUnlearningStages(IReadOnlyList<EncodedExample> training, IReadOnlyList<EncodedExample> all)
        {
            // What the model will write is not known before.
            IReadOnlyList<EncodedExample> samples = Examples(int.MaxValue);
            if (options.Unlearning.Elicited is null)
                Stage("elicit", Elicit);

            bool byIncrease = options.Unlearning.SelectBy == SelectionMeasure.Increase;
            if (!UnlearningSelection.NeedsRanking(options) || (!byIncrease && options.Unlearning.Confidence is not null))
                return;

            if (options.Unlearning.Learned is null)
                Stage("learn", () => Train(PlainTuning.Settings(options, ""), TrainingSet.AllPositive(training), null, null));

            if (byIncrease)
            {
                Stage("increase", () => Score(samples));
                return;
            }

            if (options.Unlearning.Fisher is null)
            {
                Stage("fisher", () =>
                {
                    using var decoder = new Decoder(config, backend);
                    FisherInformation.Compute(decoder, all, options.Unlearning.FisherKind, options.Compute.MicroBatchTokens, options.Seed);
                });
            }

            Stage("confidence", () =>
            {
                using var decoder = new Decoder(config, backend, training: false);
                using var confidence = new ForgettingConfidence(decoder, _ => { });
                confidence.Compute(samples, alpha: 1, options.Compute.MicroBatchTokens);
            });
        }

        private void Stage(string name, Action run)
        {
            backend.Use.ResetPeak();
            run();
            _stages.Add(new StageMemory(name, backend.Use.Peak));
        }

        private (long Weights, long State, long Activations) Train(TrainingOptions settings, TrainingSet set, TrainingSet? unlearned, IStepEvaluator? evaluated)
        {
            using var decoder = new Decoder(config, backend, lora, settings.Seed);
            long trained = decoder.TrainableParameters.Sum(p => p.Shape.Count);
            long weights = decoder.BaseParameters.Concat(decoder.AdapterParameters).Sum(p => p.Shape.Count) * backend.StorageType.Size();
            IStepRegularizer? regularizer = Regularizers.Of(settings.Optimizer, config);

            // Long enough for unlearning steps to have a place in it. Made-up examples are in the order that fills a micro-batch.
            TrainingOptions steps = settings with
            {
                Schedule = settings.Schedule with
                {
                    Steps = Math.Max(unlearned is null ? 1 : options.Unlearning.Interval + 1, data is null ? 1 : Trainer.CountSteps(settings, set.Examples.Count)),
                },
                Data = settings.Data with { NoShuffle = settings.Data.NoShuffle || data is null },
            };
            var trainer = new Trainer(decoder, set, steps, "", observer: null, unlearned, regularizer, evaluated);
            trainer.Rehearse();
            int floats = backend.StorageType == DType.Float32 ? 3 : 4;
            return (weights, trained * floats * sizeof(float), decoder.Activations.PeakBytes);
        }

        private void Score(IReadOnlyList<EncodedExample> examples)
        {
            using var decoder = new Decoder(config, backend, options.Adapter is null ? null : lora, training: false);
            using var reference = new Decoder(config, backend, options.TokenForgetting.Reference is null ? lora : null, training: false);
            Scorer.Losses([decoder, reference], examples, options.Compute.MicroBatchTokens, allTokens: false);
        }

        private void Elicit()
        {
            using var decoder = new Decoder(config, backend, training: false);
            int count = Math.Min(options.Unlearning.MaxNewTokens, config.ContextLength - 1), prompt = Math.Max(1, _length - count);
            int[][] prompts = [.. Enumerable.Range(0, Math.Max(1, new ElicitationOptions().BatchTokens / (prompt + count))).Select(_ => new int[prompt])];
            new Generator(decoder).Generate(prompts, new GenerationOptions { MaxNewTokens = count, StopIds = [Drawn] });
        }

        // Of a step's micro-batches one is like the other: two full ones and a rest take what any number takes.
        private int Sequences(int batchSize) => Math.Min(batchSize, (2 * Math.Max(1, options.Compute.MicroBatchTokens / _length)) + 2);

        // The longest examples, of which a shorter one makes a micro-batch of just as many tokens as there may be; at most so many of them.
        private EncodedExample[] Examples(int most)
        {
            int tokens = most < int.MaxValue ? options.PassTokens : options.Compute.MicroBatchTokens; // of a step's, or a pass over the data
            int whole = Math.Clamp(tokens / _length, 1, most), rest = tokens - (whole * _length);
            List<int> lengths = [.. Enumerable.Repeat(_length, whole)];
            if (rest >= 2 && whole < most)
                lengths.Insert(0, rest);

            // The rest of a step.
            if (most < int.MaxValue)
                lengths.AddRange(Enumerable.Repeat(_length, most - lengths.Count));

            return [.. lengths.Select((length, i) =>
            {
                var response = new bool[length];
                Array.Fill(response, true, 1, length - 1);
                return new EncodedExample { Index = i, Ids = new int[length], Response = response };
            })];
        }

        // Half of the tokens are negative, so that all that a method may measure is measured.
        private TrainingSet Signed(IReadOnlyList<EncodedExample> examples) => new()
        {
            Examples = examples,
            Signs = [.. examples.Select(e => Enumerable.Range(0, e.Length).Select(i => (sbyte)(!e.Response[i] ? 0 : i % 2 == 0 ? 1 : -1)).ToArray())],
            BaseLogProbabilities = options.ResolveAscent().NeedsBase ? [.. examples.Select(e => new float[e.Length])] : null,
        };
    }
}

/// <summary>The examples of a run whose memory is planned.</summary>
/// <param name="Training">What is learnt.</param>
/// <param name="Reference">What a reference is trained on; as the other where that is not here.</param>
/// <param name="Scored">Whether some of its tokens have their sign from their score.</param>
internal sealed record PlannedData(IReadOnlyList<EncodedExample> Training, IReadOnlyList<EncodedExample> Reference, bool Scored = true);
