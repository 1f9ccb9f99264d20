using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.HuggingFace;

/// <summary>What a folder or file holds, as far as it could be read.</summary>
public sealed record ModelInspection
{
    /// <summary>Path as given.</summary>
    public required string Path { get; init; }

    /// <summary>The configuration, or null where it is missing or not supported.</summary>
    public ModelConfig? Config { get; init; }

    /// <summary>Number of weights the model has, a tied head's once; null without a configuration.</summary>
    public long? Parameters { get; init; }

    /// <summary>Element types in the weight files with the number of tensors of each, most first; empty where they could not be read.</summary>
    public IReadOnlyList<TypeCount> Types { get; init; } = [];

    /// <summary>Bytes of weights in the files.</summary>
    public long StoredBytes { get; init; }

    /// <summary>Id put before a text, or null.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Padding token, or null. Nothing here pads; other programs may.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Memory that tuning needs, by way of tuning and element type.</summary>
    public IReadOnlyList<TuningMemory> Memory { get; init; } = [];

    /// <summary>One line for each thing that stands in the way of using the model; empty where all is well.</summary>
    public IReadOnlyList<string> Unsupported { get; init; } = [];
}

/// <summary>Tensors of one element type.</summary>
/// <param name="Type">The type.</param>
/// <param name="Tensors">How many.</param>
public sealed record TypeCount(StoredType Type, int Tensors);

/// <summary>Bytes that tuning a model keeps in memory.</summary>
/// <param name="Name">What is trained: all weights, or a LoRA adapter with its rank. Learning, ignoring and forgetting tokens need the same.</param>
/// <param name="StorageType">Element type of weights and activations.</param>
/// <param name="Weights">Base weights and adapter.</param>
/// <param name="Training">Float32 masters, gradients and both moments of what is trained.</param>
/// <param name="ActivationsPerToken">About what one token of a micro-batch keeps until its backward pass; excludes the head's fixed buffer.</param>
public sealed record TuningMemory(string Name, DType StorageType, long Weights, long Training, long ActivationsPerToken)
{
    /// <summary>Everything, for micro-batches of <paramref name="tokens"/> tokens.</summary>
    public long Total(int tokens) => Weights + Training + (ActivationsPerToken * tokens);
}

/// <summary>Looks at a model without loading its weights: what it is, what tuning it takes, and what stands in the way.</summary>
public static class ModelInspector
{
    private const int LoraRank = 64;

    /// <summary>Inspects a Hugging Face folder or a llama2.c file. Never throws for bad input: that is in <see cref="ModelInspection.Unsupported"/>.</summary>
    public static ModelInspection Inspect(string path)
    {
        List<string> unsupported = [];
        using Checkpoint? checkpoint = Try(() => Checkpoint.Open(path), unsupported);
        ModelConfig? config = checkpoint?.Config ?? (Directory.Exists(path) ? Try(() => ConfigFile.Read(path), unsupported) : null);
        Tokenizer? tokenizer = Directory.Exists(path) || File.Exists(path) ? Try(() => Tokenizer.Load(path), unsupported) : null;
        var inspection = new ModelInspection
        {
            Path = path,
            Config = config,
            BosTokenId = config?.BosTokenId ?? tokenizer?.BosId,
            EosTokenIds = config?.EosTokenIds is { Count: > 0 } ends ? ends : tokenizer?.EosIds ?? [],
            PadTokenId = tokenizer?.PadId,
            Unsupported = [.. unsupported.Distinct()],
        };
        if (checkpoint != null)
        {
            inspection = inspection with
            {
                Types = [.. checkpoint.Tensors.GroupBy(t => t.Type).Select(g => new TypeCount(g.Key, g.Count())).OrderByDescending(t => t.Tensors)],
                StoredBytes = checkpoint.Tensors.Sum(t => t.Bytes),
            };
        }

        return config == null ? inspection : inspection with
        {
            Parameters = Count(Decoder.Describe(config).Base),
            Memory =
            [
                Estimate("all weights", config, null, DType.Float32),
                Estimate("all weights", config, null, DType.BFloat16),
                Estimate($"LoRA r {LoraRank}", config, new LoraConfig { Rank = LoraRank, Alpha = 16 }, DType.Float32),
                Estimate($"LoRA r {LoraRank}", config, new LoraConfig { Rank = LoraRank, Alpha = 16 }, DType.BFloat16),
            ],
        };
    }

    private static TuningMemory Estimate(string name, ModelConfig config, LoraConfig? lora, DType type)
    {
        (IReadOnlyList<Parameter> weights, IReadOnlyList<Parameter> adapter) = Decoder.Describe(config, lora);
        long trained = Count(lora == null ? weights : adapter);

        // Gradient and two moments; a master only where it is not the weight itself.
        int floats = type == DType.Float32 ? 3 : 4;
        return new TuningMemory(
            name, type, (Count(weights) + Count(adapter)) * type.Size(), trained * floats * sizeof(float),
            ActivationsPerToken(config, adapter) * type.Size());
    }

    // Elements: around the block's two sums its inputs, outputs and norms; q, k, v and the heads' output; the MLP's inner values; LoRA's low ranks.
    private static long ActivationsPerToken(ModelConfig config, IReadOnlyList<Parameter> adapter)
    {
        long attention = (2L * config.Heads * config.HeadSize) + (2L * config.KeyValueHeads * config.HeadSize);
        long inner = (config.Activation == ActivationKind.SwiGlu ? 3L : 2L) * config.IntermediateSize;
        long low = adapter.Where((_, i) => i % 2 == 0).Sum(a => (long)a.Shape.Rows);
        return (config.Layers * ((5L * config.HiddenSize) + attention + inner)) + low;
    }

    private static long Count(IEnumerable<Parameter> parameters) => parameters.Sum(p => p.Shape.Count);

    private static T? Try<T>(Func<T> read, List<string> unsupported)
        where T : class
    {
        try
        {
            return read();
        }
        catch (UserException error)
        {
            unsupported.Add(error.Message);
            return null;
        }
    }
}
