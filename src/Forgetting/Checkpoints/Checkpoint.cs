using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints;

/// <summary>
/// A pretrained model on disk: a Hugging Face folder (<c>config.json</c> and <c>model.safetensors</c> or <c>pytorch_model.bin</c>, sharded
/// or not), a GGUF file or a llama2.c <c>.bin</c>. Opening reads configuration and tensor list; weights are read by
/// <see cref="LoadInto"/>.
/// </summary>
internal sealed class Checkpoint : IDisposable
{
    internal const string WeightsName = "model.safetensors";
    internal const string IndexName = "model.safetensors.index.json";

    private const string PickledWeightsName = "pytorch_model.bin";

    // Safetensors are read where both are there.
    private static readonly (string Name, Func<string, ITensorFile> Open)[] s_formats =
        [(WeightsName, SafeTensorsFile.Open), (PickledWeightsName, TorchFile.Open)];

    private readonly IReadOnlyList<IDisposable> _files;

    private Checkpoint(
        string path, ModelConfig config, string? tokenizer, IReadOnlyList<StoredTensor> tensors, IReadOnlyList<IDisposable> files)
    {
        Path = path;
        Config = config;
        TokenizerPath = tokenizer;
        Tensors = tensors;
        _files = files;
    }

    /// <summary>Path as given; of a run's folder, the model in it.</summary>
    public string Path { get; }

    /// <summary>The model's configuration.</summary>
    public ModelConfig Config { get; }

    /// <summary>The Hugging Face folder, the one a GGUF file lies in or the file itself, or the llama2.c tokenizer file; null where a
    /// <c>.bin</c> has none beside it.</summary>
    public string? TokenizerPath { get; }

    /// <summary>All tensors, file by file.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    /// <summary>True for a Hugging Face folder.</summary>
    public bool IsFolder => Directory.Exists(Path);

    /// <summary><c>__metadata__</c> of the first weight file.</summary>
    internal IReadOnlyDictionary<string, string> Metadata =>
        _files[0] is SafeTensorsFile file && file.Metadata.Count > 0 ? file.Metadata : SafeTensorsWriter.StandardMetadata;

    /// <summary>Opens a checkpoint.</summary>
    /// <param name="path">A Hugging Face folder, a GGUF file, a llama2.c <c>.bin</c>, or the folder of a run, whose model is meant.</param>
    /// <param name="tokenizer">Tokenizer of a <c>.bin</c>; by default <c>tok{vocabulary}.bin</c>, <c>tokenizer.bin</c> or the only
    /// <c>tok*.bin</c> beside it.</param>
    /// <exception cref="UserException">Missing files, bad configuration, bad weight files, or weights that are not
    /// those of the configuration.</exception>
    public static Checkpoint Open(string path, string? tokenizer = null)
    {
        if (tokenizer != null && !File.Exists(tokenizer) && !Directory.Exists(tokenizer))
            throw new UserException($"{tokenizer}: no such tokenizer");

        path = ModelPath.Resolve(path);
        if (File.Exists(path))
            return OpenFile(path, tokenizer);

        if (!Directory.Exists(path))
            throw new UserException($"{path}: no such model: expected a Hugging Face folder, a GGUF file or a llama2.c .bin file");

        ModelConfig config = ConfigFile.Read(path);
        List<ITensorFile> files = OpenWeights(path);
        try
        {
            IReadOnlyList<StoredTensor> tensors = BitsAndBytes.Combined([.. files.SelectMany(f => f.Tensors)]);
            return new Checkpoint(path, config, tokenizer ?? path, tensors, files).Checked();
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }
    }

    /// <summary>Whether a folder has a model's weights.</summary>
    public static bool HasWeights(string folder) => s_formats.Any(
        format => File.Exists(System.IO.Path.Combine(folder, format.Name)) || File.Exists(IndexPath(folder, format.Name)));

    /// <summary>
    /// Fills the parameters' <see cref="Parameter.Value"/> and, where it is other memory, <see cref="Parameter.Master"/>. Every parameter
    /// must have its tensor and every tensor its parameter; those of adapters (<c>base_model.model.…</c>) are left alone.
    /// </summary>
    /// <param name="only">Which of the parameters to fill; null for all.</param>
    /// <exception cref="UserException">Names tensors that are missing, unused, or of another shape or type than
    /// the configuration says.</exception>
    public void LoadInto(IReadOnlyList<Parameter> parameters, IMemory memory, Func<Parameter, bool>? only = null)
    {
        List<TensorBinding> bindings = TensorMap.Bind(this, parameters);
        var buffers = new TransferBuffers();
        foreach (TensorBinding binding in bindings)
        {
            if (binding.Parameter is not { } parameter || only?.Invoke(parameter) == false)
                continue;

            if (binding.AliasOf is { } embedding)
            {
                if (!binding.Source.SameData(embedding))
                {
                    throw new UserException(
                        $"{Path}: {binding.Source.Name} differs from {embedding.Name}, but tie_word_embeddings is true");
                }

                continue;
            }

            TensorTransfer.Load(binding.Source, binding.Transposed, parameter, memory, buffers);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable file in _files)
        {
            file.Dispose();
        }
    }

    // Before anyone allocates what the configuration asks for: the tensors must be those of the model it describes.
    private Checkpoint Checked()
    {
        try
        {
            TensorMap.Bind(this, Decoder.Describe(Config).Base);
            return this;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private static Checkpoint OpenFile(string path, string? tokenizer)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            bool gguf = GgufContents.IsGguf(file);
            (ModelConfig config, List<StoredTensor> tensors) = gguf ? GgufSource.Read(file) : Llama2cFile.Read(file);
            tokenizer ??= !gguf ? TokenizerBeside(path, config.VocabularySize)
                : GgufVocabulary.IsSource(path) ? path
                : ModelPath.FilesOf(path);
            return new Checkpoint(path, config, tokenizer, tensors, [file]).Checked();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static string? TokenizerBeside(string path, int vocabulary)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        foreach (string name in new[] { $"tok{vocabulary}.bin", "tokenizer.bin" })
        {
            if (File.Exists(System.IO.Path.Combine(folder, name)))
                return System.IO.Path.Combine(folder, name);
        }

        string[] others = Directory.GetFiles(folder, "tok*.bin");
        return others.Length == 1 ? others[0] : null;
    }

    private static List<ITensorFile> OpenWeights(string folder)
    {
        foreach ((string name, Func<string, ITensorFile> open) in s_formats)
        {
            string single = System.IO.Path.Combine(folder, name), index = IndexPath(folder, name);
            if (File.Exists(single))
                return [open(single)];

            if (File.Exists(index))
                return OpenShards(folder, index, open);
        }

        throw new UserException($"{folder}: has no weights: expected {WeightsName} or {PickledWeightsName}, or {IndexName} with its files");
    }

    private static string IndexPath(string folder, string name) => System.IO.Path.Combine(folder, $"{name}.index.json");

    private static List<ITensorFile> OpenShards(string folder, string indexPath, Func<string, ITensorFile> open)
    {
        JsonView map = JsonViewFields.LoadObject(indexPath)["weight_map"];
        Dictionary<string, string> fileOf = [];
        foreach ((string tensor, JsonView value) in map.Members())
        {
            string file = value.AsString();
            if (file.Length == 0 || file != System.IO.Path.GetFileName(file))
                throw value.Wrong(value.Describe(), "a file name without folders");

            fileOf[tensor] = file;
        }

        List<ITensorFile> files = [];
        try
        {
            foreach (string file in fileOf.Values.Distinct().Order(StringComparer.Ordinal))
            {
                files.Add(open(System.IO.Path.Combine(folder, file)));
                CheckShard(indexPath, file, files[^1], fileOf);
            }

            if (files.Count == 0)
                throw map.Wrong("empty", "a file for each tensor");

            return files;
        }
        catch
        {
            files.ForEach(f => f.Dispose());
            throw;
        }
    }

    // What the index and the file say must agree both ways.
    private static void CheckShard(string indexPath, string file, ITensorFile shard, Dictionary<string, string> fileOf)
    {
        HashSet<string> inFile = [.. shard.Tensors.Select(t => t.Name)];
        string[] promised = [.. fileOf.Where(p => p.Value == file && !inFile.Contains(p.Key)).Select(p => p.Key)];
        if (promised.Length > 0)
            throw new UserException($"{indexPath}: weight_map says that {file} holds {Wording.List(promised)}, but it does not");

        string[] unlisted = [.. inFile.Where(name => fileOf.GetValueOrDefault(name) != file).Order(StringComparer.Ordinal)];
        if (unlisted.Length > 0)
            throw new UserException($"{indexPath}: weight_map does not say that {file} holds {Wording.List(unlisted)}, but it does");
    }
}
