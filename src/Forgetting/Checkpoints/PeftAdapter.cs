using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>
/// A LoRA adapter as PEFT stores it: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c> (or, of older versions,
/// <c>adapter_model.bin</c>). Open it, make the
/// <see cref="Decoder"/> with its <see cref="Config"/>, then <see cref="LoadInto"/>.
/// </summary>
internal sealed class PeftAdapter : IDisposable
{
    private const string WeightsName = "adapter_model.safetensors", PickledWeightsName = "adapter_model.bin";

    private readonly ITensorFile _file;

    private PeftAdapter(string path, LoraConfig config, ITensorFile file)
    {
        Path = path;
        Config = config;
        _file = file;
    }

    /// <summary>Path as given.</summary>
    public string Path { get; }

    /// <summary>What the adapter adapts and how.</summary>
    public LoraConfig Config { get; }

    /// <summary>Opens an adapter folder.</summary>
    /// <exception cref="UserException">Missing files, a bad header, or a kind of adapter that is not supported.</exception>
    public static PeftAdapter Open(string path)
    {
        if (!Directory.Exists(path))
            throw new UserException($"{path}: no such adapter: expected a folder with {PeftConfig.Name} and {WeightsName}");

        LoraConfig config = PeftConfig.Read(path);
        string weights = System.IO.Path.Combine(path, WeightsName), pickled = System.IO.Path.Combine(path, PickledWeightsName);
        ITensorFile file = !File.Exists(weights) && File.Exists(pickled) ? TorchFile.Open(pickled) : SafeTensorsFile.Open(weights);
        string[] carried =
            [.. file.Tensors.Select(t => PeftNames.WholeEnd(t.Name)).OfType<string>().Where(name => !config.Saves(name)).Distinct()];
        return new PeftAdapter(path, config with { CarriedParameters = carried }, file);
    }

    /// <summary>
    /// Fills a decoder's adapter, and those base parameters that the adapter holds whole. Every tensor must have its
    /// parameter and every parameter its tensor.
    /// </summary>
    /// <param name="decoder">A decoder made with <see cref="Config"/>, its base already loaded.</param>
    /// <exception cref="UserException">Names the tensors that fit no parameter, are missing, or have the wrong shape or type.</exception>
    public void LoadInto(Decoder decoder)
    {
        HashSet<Parameter> adapted = [.. decoder.Adapters.Select(a => a.Weight)];
        IEnumerable<Parameter> held = decoder.BaseParameters.Where(p => Config.Holds(p.Name));
        var buffers = new TransferBuffers();
        foreach ((StoredTensor source, Parameter parameter) in Bind(
            decoder.Config.Family, decoder.AdapterParameters.Concat(held).Select(p => (PeftNames.Of(p, adapted.Contains(p)), p)), decoder))
        {
            TensorTransfer.Load(source, TensorMap.IsTransposed(decoder.Config.Family, parameter.Name), parameter, decoder.Backend, buffers);
        }
    }

    /// <summary>The layers of a model that are adapted, with A and B of each, where the adapter holds nothing else.</summary>
    /// <exception cref="UserException">As <see cref="LoadInto"/>, or it has magnitudes besides.</exception>
    public IEnumerable<(string Module, StoredTensor A, StoredTensor B)> Pairs(ModelConfig model) => Config.Dora
        ? throw new UserException($"{System.IO.Path.Combine(Path, PeftConfig.Name)}: 'use_dora' is true; expected false: only an "
            + "update that is added can be kept apart; merge it instead")
        :
        Bind(model.Family, Decoder.Describe(model, Config).Adapter.Select(p => (PeftNames.Of(p), p)), decoder: null)
            .Chunk(2).Select(pair => (PeftNames.ModuleOf(pair[0].Parameter.Name), pair[0].Source, pair[1].Source));

    /// <summary>Writes a decoder's adapter, and the base parameters that it holds whole, as Float32.</summary>
    /// <param name="outDirectory">Folder to write; appears whole or not at all.</param>
    /// <param name="baseModel">Name or path of the model that the adapter belongs to.</param>
    /// <param name="addFiles">Adds further files; receives the folder being filled. May be null.</param>
    /// <exception cref="UserException">Not writable, disk full, or an existing folder that is not an adapter's.</exception>
    public static void Write(string outDirectory, Decoder decoder, string baseModel, Action<string>? addFiles = null)
    {
        LoraConfig config = decoder.Lora ?? throw new ArgumentException("the model has no adapter", nameof(decoder));
        ModelFamily family = decoder.Config.Family;
        decoder.PrepareAdapters();
        string head = family.Names.HeadWeight;
        HashSet<Parameter> adapted = [.. decoder.Adapters.Select(a => a.Weight)];
        IEnumerable<Parameter> held = decoder.BaseParameters.Where(
            p => config.Holds(p.Name) || (decoder.HeadIsTied && p == decoder.HeadWeight && config.Holds(head)));
        SavedTensor[] tensors = [.. decoder.AdapterParameters.Concat(held)
            .Select(p => SavedTensor.New(PeftNames.Of(p, adapted.Contains(p)), p, family, StoredType.F32))];
        AtomicDirectory.Write(outDirectory, PeftConfig.Name, folder =>
        {
            addFiles?.Invoke(folder);
            PeftConfig.Write(folder, config, family, baseModel, decoder.AdapterParameters.Select(p => PeftNames.ModuleOf(p.Name)));
            SavedTensor.WriteFile(
                System.IO.Path.Combine(folder, WeightsName), tensors, decoder.Backend, SafeTensorsWriter.StandardMetadata);
        });
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    // The file's tensors of parameters, all of them checked before the first is used.
    private List<(StoredTensor Source, Parameter Parameter)> Bind(
        ModelFamily family, IEnumerable<(string Name, Parameter Parameter)> wanted, Decoder? decoder)
    {
        Dictionary<string, StoredTensor> tensors = _file.Tensors.ToDictionary(t => t.Name);
        List<(StoredTensor Source, Parameter Parameter)> pairs = [];
        List<string> missing = [];
        foreach ((string name, Parameter parameter) in wanted)
        {
            if (tensors.Remove(name, out StoredTensor? tensor))
                pairs.Add((tensor, parameter));
            else
                missing.Add(name);
        }

        if (decoder is not null)
            PlaceTiedHead(tensors, pairs, decoder);

        if (tensors.Count > 0)
            throw new UserException($"{_file.Path}: tensors that fit nothing in the model: {Wording.List([.. tensors.Keys])}");

        if (missing.Count > 0)
            throw new UserException($"{_file.Path}: missing tensors: {Wording.List(missing)}");

        pairs.ForEach(p => TensorMap.CheckShape(p.Source, FileShape(family, p.Parameter)));
        return pairs;
    }

    // PEFT saves a tied head beside its embedding. There is one parameter for both, so that both tensors must say the same.
    private void PlaceTiedHead(
        Dictionary<string, StoredTensor> tensors, List<(StoredTensor Source, Parameter Parameter)> pairs, Decoder decoder)
    {
        string head = PeftNames.OfBase(decoder.Config.Family.Names.HeadWeight);
        if (!decoder.HeadIsTied || !tensors.Remove(head, out StoredTensor? tensor))
            return;

        (StoredTensor? beside, _) = pairs.FirstOrDefault(p => p.Parameter == decoder.HeadWeight);
        if (beside is null)
            pairs.Add((tensor, decoder.HeadWeight));
        else if (!tensor.SameData(beside))
            throw new UserException($"{_file.Path}: {tensor.Name} differs from {beside.Name}, but the model ties them");
    }

    private static Shape FileShape(ModelFamily family, Parameter parameter) => TensorMap.IsTransposed(family, parameter.Name)
        ? new Shape(parameter.Shape.Columns, parameter.Shape.Rows)
        : parameter.Shape;
}
