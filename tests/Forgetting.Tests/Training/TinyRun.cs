using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;

namespace Forgetting.Tests.Training;

/// <summary>A random Llama of two blocks with random examples; trains in a folder of its own.</summary>
internal sealed class TinyRun : IDisposable
{
    /// <summary>The model.</summary>
    public static ModelConfig Config { get; } = new()
    {
        Family = ModelFamilies.Llama,
        VocabularySize = 40,
        HiddenSize = 16,
        IntermediateSize = 24,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = 2,
        HeadSize = 4,
        ContextLength = 32,
        AttentionScale = 0.5,
        TiedHead = true,
    };

    /// <summary>The same with matrices of 4,096 weights and more.</summary>
    public static ModelConfig Wide { get; } = Config with { HiddenSize = 64, HeadSize = 16, IntermediateSize = 72 };

    private readonly CpuBackend _backend;
    private readonly TemporaryFolder _folder = new();

    public TinyRun(
        TrainingOptions options, CpuBackend? backend = null, ModelConfig? config = null, ICommunicator? communicator = null)
    {
        _backend = backend ?? new CpuBackend(2);
        Options = options;
        Decoder = new Decoder(
            config ?? Config, _backend,
            options.Lora.Rank == 0 ? null : new LoraConfig { Rank = options.Lora.Rank, Alpha = 8, Dropout = options.Lora.Dropout },
            seed: 11, sharding: TrainedModel.Sharding(options, communicator ?? SingleProcess.Instance),
            trainedType: options.Optimizer.TrainedType);
        Decoder.Initialize(5);
        foreach (Parameter b in Decoder.AdapterParameters.Where(p => p.Name.Contains("lora_B", StringComparison.Ordinal)))
        {
            // With B at zero, A has no gradient.
            b.SetRows(_backend, 0, [.. Enumerable.Range(0, (int)b.Shape.Count).Select(i => 0.05f * MathF.Sin(i))]);
        }
    }

    // Plain ascent, which needs no base model's probabilities.
    public static TrainingOptions Full { get; } =
        new()
        {
            TokenForgetting = new() { Ascent = AscentKind.Ascent },
            Lora = new() { Rank = 0 },
            Schedule = new() { BatchSize = 4, Epochs = 2, WarmupRatio = 0 },
            Optimizer = new() { LearningRate = 1e-3 },
            Checkpoints = new() { Every = 0 },
        };

    public static TrainingOptions Lora { get; } = Full with { Lora = Full.Lora with { Rank = 4, Dropout = 0.25 } };

    public string Folder => _folder.Path;

    public TrainingOptions Options { get; }

    public Decoder Decoder { get; }

    public TrainingSet Set { get; } = Examples(12);

    /// <summary>Sequences of 4 to 15 tokens; a third of the response tokens is negative.</summary>
    public static TrainingSet Examples(int count)
    {
        var random = new Random(3);
        var examples = new List<EncodedExample>();
        var signs = new List<sbyte[]>();
        for (int i = 0; i < count; i++)
        {
            int length = random.Next(4, 16);
            bool[] response = [.. Enumerable.Range(0, length).Select(t => t > 1)];
            examples.Add(new EncodedExample { Index = 100 + i, Ids = [.. response.Select(_ => random.Next(40))], Response = response });
            signs.Add([.. response.Select(r => (sbyte)(!r ? 0 : random.Next(3) == 0 ? -1 : 1))]);
        }

        return new TrainingSet { Examples = examples, Signs = signs };
    }

    public Trainer Trainer(ITrainingObserver? observer = null) => new(Decoder, Set, Options, Folder, observer);

    /// <summary>Trainable weights, end to end.</summary>
    public float[] Weights() => Concatenate(p => p.Value);

    /// <summary>Gradients, end to end.</summary>
    public float[] Gradients() => Concatenate(p => p.Gradient);

    public void Dispose()
    {
        Decoder.Dispose();
        _backend.Dispose();
        _folder.Dispose();
    }

    private float[] Concatenate(Func<Parameter, Tensor> choose)
    {
        var all = new List<float>();
        foreach (Parameter parameter in Decoder.TrainableParameters)
        {
            using DeviceBuffer buffer = _backend.Allocate(parameter.Shape.Count * sizeof(float));
            Tensor exact = buffer.AsTensor(parameter.Shape, DType.Float32);
            _backend.Copy(choose(parameter), exact);
            all.AddRange(exact.AsSpan<float>());
        }

        return [.. all];
    }
}
