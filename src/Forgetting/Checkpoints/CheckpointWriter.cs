using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints;

/// <summary>Writes Hugging Face model folders. A folder appears whole or not at all.</summary>
internal static class CheckpointWriter
{
    /// <summary>Default size from which weights go to several files: what Hugging Face writes.</summary>
    public const long DefaultShardBytes = 5_000_000_000;

    // What is not weights is configuration and tokenizer; anything larger is something else.
    private const long LargestCopiedFile = 256 << 20;

    private static readonly string[] s_weightEndings =
        [".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf",
            ".tflite"];

    /// <summary>
    /// Writes a checkpoint like <paramref name="source"/> with the parameters' values: the same tensor names, types and layout, the
    /// same configuration and tokenizer files byte for byte. Weights that still are what was loaded keep their bits. A file
    /// of llama2.c or GGUF becomes a Hugging Face folder.
    /// </summary>
    /// <param name="outDirectory">Folder to write; not the source itself.</param>
    /// <param name="source">The checkpoint from which the parameters were loaded; still open.</param>
    /// <param name="parameters">The parameters; adapters among them are left out.</param>
    /// <param name="memory">Where the values are.</param>
    /// <param name="shardBytes">Most bytes of weights in a file; one tensor may be larger.</param>
    /// <param name="addFiles">Adds to or changes the files that are not weights; receives the folder being filled. May be null.</param>
    /// <param name="type">Element type of the parameters in the file; null for the source's.</param>
    /// <returns>What rounding to the files' types took from the change since loading: ‖error‖ / ‖change‖, 0 without one.</returns>
    /// <exception cref="UserException">Not writable, disk full, an existing folder that is not a model's, or a value that is
    /// not finite in its type.</exception>
    public static double Write(
        string outDirectory, Checkpoint source, IReadOnlyList<Parameter> parameters, IMemory memory, long shardBytes = DefaultShardBytes,
        Action<string>? addFiles = null, StoredType? type = null) =>
        WriteMerged(outDirectory, source, parameters, [], memory, shardBytes, addFiles, type);

    /// <summary>
    /// Like <see cref="Write"/>, with the updates of <paramref name="adapters"/> added in Float32 to the weights as they are written.
    /// </summary>
    internal static double WriteMerged(
        string outDirectory, Checkpoint source, IReadOnlyList<Parameter> parameters, IReadOnlyList<LoraAdapter> adapters, IMemory memory,
        long shardBytes, Action<string>? addFiles, StoredType? type)
    {
        CheckApart(outDirectory, source);
        List<TensorBinding> bindings = TensorMap.Bind(source, parameters);
        Dictionary<Parameter, LoraAdapter> adapterOf = adapters.ToDictionary(a => a.Weight);
        List<SavedTensor> items = [.. bindings.Select(b => new SavedTensor(
            new TensorEntry(b.Name, b.Parameter is null ? b.Source.Type : type ?? b.Source.Type, b.Source.Dimensions), b.Source,
            b.Parameter, b.Transposed, b.Parameter is null ? null : adapterOf.GetValueOrDefault(b.Parameter)))];
        bool untied = bindings.Any(b => b.IsTiedHead),
            retyped = bindings.Any(b => b.Parameter is not null && type is not null && b.Source.Type != type);
        var rounding = new UpdateRounding();
        WriteFolder(outDirectory, source, items, memory, shardBytes, rounding, folder =>
        {
            ConfigWriter.Amend(folder, retyped ? type : null, untied, source.Tensors.Any(t => t.Data is BitsAndBytesData));
            addFiles?.Invoke(folder);
        });
        return rounding.Share;
    }

    /// <summary>
    /// Writes a model that was made here: <c>config.json</c> from <paramref name="config"/> and all parameters as <paramref name="type"/>.
    /// </summary>
    /// <param name="addFiles">Adds the tokenizer's files; receives the folder being filled. May be null.</param>
    /// <exception cref="UserException">See <see cref="Write"/>.</exception>
    public static void WriteNew(
        string outDirectory,
        ModelConfig config,
        IReadOnlyList<Parameter> parameters,
        IMemory memory,
        StoredType type = StoredType.F32,
        Action<string>? addFiles = null)
    {
        List<SavedTensor> items =
            [.. parameters.Where(p => !PeftNames.IsAdapter(p.Name)).Select(p => SavedTensor.New(p.Name, p, config.Family, type))];
        AtomicDirectory.Write(outDirectory, ConfigFile.Name, folder =>
        {
            ConfigWriter.Write(folder, config, type);
            addFiles?.Invoke(folder);
            SentencePieceWriter.Complete(folder);
            WriteWeights(folder, items, memory, SafeTensorsWriter.StandardMetadata, DefaultShardBytes, rounding: null);
        });
    }

    /// <summary>Writes a checkpoint's files with other tensors than its own.</summary>
    /// <param name="tensors">Tensors as they lie, in whatever type.</param>
    /// <param name="addFiles">See <see cref="Write"/>.</param>
    /// <exception cref="UserException">See <see cref="Write"/>.</exception>
    internal static void WriteStored(string outDirectory, Checkpoint source, IReadOnlyList<StoredTensor> tensors, Action<string> addFiles)
    {
        CheckApart(outDirectory, source);
        using var memory = new CpuBackend(1);
        WriteFolder(
            outDirectory, source,
            [.. tensors.Select(t => new SavedTensor(new TensorEntry(t.Name, t.Type, t.Dimensions), t, null, Transposed: false))], memory,
            DefaultShardBytes, rounding: null, addFiles);
    }

    private static void CheckApart(string outDirectory, Checkpoint source)
    {
        if (SamePath(outDirectory, source.Path))
            throw new UserException($"{outDirectory}: is the model that is being read; choose another folder to write to");
    }

    // The source's files, changed, with other weights.
    private static void WriteFolder(
        string outDirectory, Checkpoint source, List<SavedTensor> items, IMemory memory, long shardBytes,
        UpdateRounding? rounding, Action<string> change) => AtomicDirectory.Write(outDirectory, ConfigFile.Name, folder =>
    {
        if (source.IsFolder)
            CopySmallFiles(source.Path, folder);
        else
            WriteFilesOf(source, folder);

        change(folder);
        SentencePieceWriter.Complete(folder);
        WriteWeights(folder, items, memory, source.Metadata, shardBytes, rounding);
    });

    private static bool SamePath(string a, string b) =>
        Path.TrimEndingDirectorySeparator(Path.GetFullPath(a)) == Path.TrimEndingDirectorySeparator(Path.GetFullPath(b));

    private static void CopySmallFiles(string source, string folder)
    {
        foreach (string file in Directory.EnumerateFiles(source).Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileName(file);
            bool weights = s_weightEndings.Any(ending => name.EndsWith(ending, StringComparison.OrdinalIgnoreCase));
            if (weights || name.StartsWith('.') || name.StartsWith("adapter_", StringComparison.Ordinal)
                || new FileInfo(file).Length > LargestCopiedFile)
            {
                continue;
            }

            // Through streams, so that a read-only source does not make a read-only copy.
            using FileStream from = File.OpenRead(file);
            using FileStream to = File.Create(Path.Combine(folder, name));
            from.CopyTo(to);
        }
    }

    // Of a file that is a model: what it says of itself, and the tokenizer beside it. Most weights are of the embedding's type.
    private static void WriteFilesOf(Checkpoint source, string folder)
    {
        string embedding = $"{source.Config.Family.Names.Embedding}.weight";
        ConfigWriter.Write(folder, source.Config, source.Tensors.First(t => t.Name == embedding).Type);
        if (source.TokenizerPath == source.Path)
            GgufVocabulary.WriteFiles(source.Path, folder);
        else if (Directory.Exists(source.TokenizerPath))
            TokenizerFolder.Copy(source.TokenizerPath, folder);
        else if (source.TokenizerPath is { } tokenizer)
            Llama2cTokenizerJson.Write(folder, tokenizer);
    }

    private static void WriteWeights(
        string folder, List<SavedTensor> items, IMemory memory, IReadOnlyDictionary<string, string> metadata, long shardBytes,
        UpdateRounding? rounding)
    {
        List<List<SavedTensor>> shards = Split(items, shardBytes);
        if (shards.Count == 1)
        {
            SavedTensor.WriteFile(Path.Combine(folder, Checkpoint.WeightsName), items, memory, metadata, rounding);
            return;
        }

        Dictionary<string, string> fileOf = [];
        for (int i = 0; i < shards.Count; i++)
        {
            string name = $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors";
            SavedTensor.WriteFile(Path.Combine(folder, name), shards[i], memory, metadata, rounding);
            shards[i].ForEach(item => fileOf[item.Entry.Name] = name);
        }

        WriteIndex(Path.Combine(folder, Checkpoint.IndexName), items.Sum(i => i.Entry.Bytes), fileOf);
    }

    private static List<List<SavedTensor>> Split(List<SavedTensor> items, long shardBytes)
    {
        List<List<SavedTensor>> shards = [[]];
        long filled = 0;
        foreach (SavedTensor item in items)
        {
            if (filled > 0 && filled + item.Entry.Bytes > shardBytes)
            {
                shards.Add([]);
                filled = 0;
            }

            shards[^1].Add(item);
            filled += item.Entry.Bytes;
        }

        return shards;
    }

    private static void WriteIndex(string path, long bytes, Dictionary<string, string> fileOf)
    {
        using FileStream stream = File.Create(path);
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteStartObject("metadata");
        json.WriteNumber("total_size", bytes);
        json.WriteEndObject();
        json.WriteStartObject("weight_map");
        foreach ((string name, string file) in fileOf.OrderBy(p => p.Key, StringComparer.Ordinal))
        {
            json.WriteString(name, file);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }
}
