using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Text.ChatTemplates;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints;

/// <summary>What a folder or file holds, as far as it could be read.</summary>
internal sealed record ModelInspection
{
    /// <summary>Path as given.</summary>
    public required string Path { get; init; }

    /// <summary>The configuration, or null where it is missing or not supported.</summary>
    public ModelConfig? Config { get; init; }

    /// <summary>Number of weights the model has, a tied head's once; null without a configuration.</summary>
    public long? Parameters { get; init; }

    /// <summary>
    /// Element types in the weight files with the number of tensors of each, most first; empty where they could not be read.
    /// </summary>
    public IReadOnlyList<TypeCount> Types { get; init; } = [];

    /// <summary>Bytes of weights in the files.</summary>
    public long StoredBytes { get; init; }

    /// <summary>Id put before a text, or null.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Padding token, or null. Nothing here pads; other programs may.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Whether the folder has a chat template that can be read.</summary>
    public bool ChatTemplate { get; init; }

    /// <summary>One line for each thing that stands in the way of using the model; empty where all is well.</summary>
    public IReadOnlyList<string> Unsupported { get; init; } = [];
}

/// <summary>Tensors of one element type.</summary>
/// <param name="Type">The type.</param>
/// <param name="Tensors">How many.</param>
internal sealed record TypeCount(StoredType Type, int Tensors);

/// <summary>Looks at a model without loading its weights: what it is and what stands in the way.</summary>
internal static class ModelInspector
{
    /// <summary>
    /// Inspects a Hugging Face folder, a GGUF file or a llama2.c file. Never throws for bad input: that is in
    /// <see cref="ModelInspection.Unsupported"/>.
    /// </summary>
    public static ModelInspection Inspect(string path)
    {
        path = ModelPath.Resolve(path);
        List<string> unsupported = [];
        using Checkpoint? checkpoint = Try(() => Checkpoint.Open(path), unsupported);
        ModelConfig? config = checkpoint?.Config ?? (Directory.Exists(path) ? Try(() => ConfigFile.Read(path), unsupported) : null);
        Tokenizer? tokenizer = Directory.Exists(path) || File.Exists(path) ? Try(() => Tokenizer.Load(path), unsupported) : null;
        ChatTemplate? template = Directory.Exists(path) ? Try(() => ChatTemplate.Load(path), unsupported) : null;
        var inspection = new ModelInspection
        {
            Path = path,
            Config = config,
            BosTokenId = config?.BosTokenId ?? tokenizer?.BosId,
            EosTokenIds = config?.EosTokenIds is { Count: > 0 } ends ? ends : tokenizer?.EosIds ?? [],
            PadTokenId = tokenizer?.PadId,
            ChatTemplate = template != null,
            Unsupported = [.. unsupported.Distinct()],
        };
        if (checkpoint != null)
        {
            inspection = inspection with
            {
                Types = [.. checkpoint.Tensors.GroupBy(t => t.Type)
                    .Select(g => new TypeCount(g.Key, g.Count()))
                    .OrderByDescending(t => t.Tensors)],
                StoredBytes = checkpoint.Tensors.Sum(t => t.Bytes),
            };
        }

        return config == null ? inspection : inspection with { Parameters = Decoder.Describe(config).Base.Sum(p => p.Shape.Count) };
    }

    private static T? Try<T>(Func<T?> read, List<string> unsupported)
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
