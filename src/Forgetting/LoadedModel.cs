using Forgetting.Backends;
using Forgetting.HuggingFace;
using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Models;

namespace Forgetting;

/// <summary>A checkpoint in memory and ready to compute: its decoder with weights loaded, and its tokenizer.</summary>
public sealed class LoadedModel : IDisposable
{
    private readonly IReadOnlyList<int> _adapterEnds;

    private LoadedModel(Checkpoint source, string? adapter, Decoder decoder, Tokenizer tokenizer)
    {
        (Source, Adapter, Decoder, Tokenizer) = (source, adapter, decoder, tokenizer);
        _adapterEnds = adapter is null ? [] : ChatFiles.OfAdapter(adapter).Ends;
    }

    /// <summary>The checkpoint on disk.</summary>
    public Checkpoint Source { get; }

    /// <summary>Folder of the PEFT adapter that was added; null for none.</summary>
    public string? Adapter { get; }

    /// <summary>The model.</summary>
    public Decoder Decoder { get; }

    /// <summary>The tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>Every id that ends a text: in the model's files, its tokenizer's or its adapter's, and <see cref="TurnEnd"/>.</summary>
    public IReadOnlyList<int> EndIds =>
        [.. Decoder.Config.EosTokenIds.Union(Tokenizer.EosIds).Union(_adapterEnds).Union(TurnEnd is int end ? [end] : [])];

    /// <summary>Id that closes an answer in the layout that is in use, which the files need not name; or null.</summary>
    public int? TurnEnd { get; set; }

    /// <summary>Loads a checkpoint.</summary>
    /// <param name="path">A Hugging Face folder or a llama2.c <c>.bin</c>.</param>
    /// <param name="backend">Where to compute.</param>
    /// <param name="lora">Adapter to add, or null; not with <paramref name="adapter"/>.</param>
    /// <param name="seed">Seed of a new adapter's initialisation.</param>
    /// <param name="training">Whether weights will be trained, which needs Float32 masters.</param>
    /// <param name="adapter">Folder of a PEFT adapter to add, or null.</param>
    /// <exception cref="UserException">The checkpoint, its tokenizer or the adapter is missing or bad, or they do not fit.</exception>
    public static LoadedModel Load(
        string path, IBackend backend, LoraConfig? lora = null, ulong seed = 0, bool training = false, string? adapter = null)
    {
        using PeftAdapter? peft = adapter is null ? null : PeftAdapter.Open(adapter);
        Checkpoint source = Checkpoint.Open(path);
        Decoder? decoder = null;
        try
        {
            Tokenizer tokenizer = Tokenizer.Load(source.TokenizerPath ?? path);
            decoder = new Decoder(source.Config, backend, peft?.Config ?? lora, seed, training);
            source.LoadInto(decoder.BaseParameters, backend);
            peft?.LoadInto(decoder);
            return new LoadedModel(source, adapter, decoder, tokenizer);
        }
        catch
        {
            decoder?.Dispose();
            source.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Decoder.Dispose();
        Source.Dispose();
    }
}
