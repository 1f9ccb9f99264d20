using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>What a stage of a run takes.</summary>
/// <param name="Stage">reference, scoring, elicit, learn, fisher, confidence or training.</param>
/// <param name="Bytes">Most memory of the device at any time of the stage.</param>
public sealed record StageMemory(string Stage, long Bytes);

/// <summary>
/// The device memory that a run takes, found by running its stages on a backend that counts and has no memory: the same code asks for the same memory. The
/// micro-batches are as full as the settings allow and every token of them is a response token, so that no data can take more.
/// </summary>
public sealed record MemoryPlan
{
    /// <summary>The stages that hold a model, in their order.</summary>
    public required IReadOnlyList<StageMemory> Stages { get; init; }

    /// <summary>Most memory at any time of the run.</summary>
    public long Peak => Stages.Max(s => s.Bytes);

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
    public static MemoryPlan Of(ModelConfig config, TrainingOptions options, string device, DType storageType, LoraConfig? lora)
    {
        if (device != "cpu")
        {
            using var card = new SizingBackend(device, storageType);
            return new Rehearsal(config, options, lora, card).Run();
        }

        using var pool = new WorkerPool(1);
        using IMatrixProducts products = BackendFactory.CpuProducts(options.Compute.Dtype == "bf16" ? DType.BFloat16 : DType.Float32, options.Compute.Products)(pool);
        using var backend = new SizingBackend(products);
        return new Rehearsal(config, options, lora, backend).Run();
    }

    private sealed class Rehearsal(ModelConfig config, TrainingOptions options, LoraConfig? lora, SizingBackend backend)
    {
        // One that ends a generation at once: what a counting backend draws.
        private const int Drawn = 0;

        private readonly int _length = Math.Max(2, ExampleLoader.LongestExample(config, options));
        private readonly List<StageMemory> _stages = [];

        public MemoryPlan Run()
        {
            TrainingSet set = Examples(options.Schedule.BatchSize);

            // Passes over the data fill their batches whatever the size of a step.
            IReadOnlyList<EncodedExample> data = Examples(Math.Max(1, options.Compute.MicroBatchTokens / _length)).Examples;
            bool scores = !options.LearnsAll && options.TokenForgetting.Scores is null;
            if (scores && options.TokenForgetting.Reference is null)
                Stage("reference", () => Train(PlainTuning.Settings(options, ""), TrainingSet.AllPositive(set.Examples), null));

            if (scores)
                Stage("scoring", () => Score(data));

            if (options.Unlearns)
                RunUnlearningStages(set.Examples, data);

            TrainingSet forget = Examples(options.Unlearning.BatchSize ?? options.Schedule.BatchSize);
            TrainingSet? unlearned = options.Unlearns ? TrainingSet.AllNegative(forget.Examples, forget.BaseLogProbabilities) : null;
            (long Weights, long State, long Activations) parts = default;
            Stage("training", () => parts = Train(options, options.LearnsAll ? TrainingSet.AllPositive(set.Examples) : set, unlearned));
            return new MemoryPlan { Stages = _stages, Weights = parts.Weights, State = parts.State, Activations = parts.Activations };
        }

        private void RunUnlearningStages(IReadOnlyList<EncodedExample> examples, IReadOnlyList<EncodedExample> data)
        {
            if (options.Unlearning.Elicited is null)
                Stage("elicit", Elicit);

            bool byIncrease = options.Unlearning.SelectBy == SelectionMeasure.Increase;
            if (!UnlearningSelection.NeedsRanking(options) || (!byIncrease && options.Unlearning.Confidence is not null))
                return;

            if (options.Unlearning.Learned is null)
                Stage("learn", () => Train(PlainTuning.Settings(options, ""), TrainingSet.AllPositive(examples), null));

            if (byIncrease)
            {
                Stage("increase", () => Score(data));
                return;
            }

            if (options.Unlearning.Fisher is null)
            {
                Stage("fisher", () =>
                {
                    using var decoder = new Decoder(config, backend);
                    FisherInformation.Compute(decoder, data, options.Unlearning.FisherKind, options.Compute.MicroBatchTokens, options.Seed);
                });
            }

            Stage("confidence", () =>
            {
                using var decoder = new Decoder(config, backend, training: false);
                using var confidence = new ForgettingConfidence(decoder, _ => { });
                confidence.Compute(data, alpha: 1, options.Compute.MicroBatchTokens);
            });
        }

        private void Stage(string name, Action run)
        {
            backend.Use.ResetPeak();
            run();
            _stages.Add(new StageMemory(name, backend.Use.Peak));
        }

        private (long Weights, long State, long Activations) Train(TrainingOptions settings, TrainingSet set, TrainingSet? unlearned)
        {
            using var decoder = new Decoder(config, backend, lora, settings.Seed);
            long trained = decoder.TrainableParameters.Sum(p => p.Shape.Count);
            long weights = decoder.BaseParameters.Concat(decoder.AdapterParameters).Sum(p => p.Shape.Count) * backend.StorageType.Size();
            IStepRegularizer? regularizer = settings.Optimizer.Regularizer == RegularizerKind.Bss ? new SpectralShrinkage(settings.Optimizer.RegularizerWeight, settings.Optimizer.RegularizerCount) : null;

            // Long enough for unlearning steps to have a place in it.
            var trainer = new Trainer(decoder, set, settings with { Schedule = settings.Schedule with { Steps = options.Unlearning.Interval + 1 } }, "", observer: null, unlearned, regularizer);
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

        // A step's worth of the longest examples; half of the tokens are negative, so that all that a method may measure is measured.
        private TrainingSet Examples(int count)
        {
            var response = new bool[_length];
            Array.Fill(response, true, 1, _length - 1);
            EncodedExample[] examples = [.. Enumerable.Range(0, count).Select(i => new EncodedExample { Index = i, Ids = new int[_length], Response = response })];
            sbyte[] signs = [.. Enumerable.Range(0, _length).Select(i => (sbyte)(i == 0 ? 0 : i % 2 == 0 ? 1 : -1))];
            return new TrainingSet
            {
                Examples = examples,
                Signs = [.. examples.Select(_ => signs)],
                BaseLogProbabilities = options.ResolveAscent().NeedsBase ? [.. examples.Select(_ => new float[_length])] : null,
            };
        }
    }
}
