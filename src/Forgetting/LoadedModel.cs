using Forgetting.Backends;
using Forgetting.HuggingFace;
using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Models;

namespace Forgetting;

/// <summary>A checkpoint in memory and ready to compute: its decoder with weights loaded, and its tokenizer.</summary>
public sealed class LoadedModel : IDisposable
{
    private LoadedModel(Checkpoint source, Decoder decoder, Tokenizer tokenizer) => (Source, Decoder, Tokenizer) = (source, decoder, tokenizer);

    /// <summary>The checkpoint on disk.</summary>
    public Checkpoint Source { get; }

    /// <summary>The model.</summary>
    public Decoder Decoder { get; }

    /// <summary>The tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>Loads a checkpoint.</summary>
    /// <param name="path">A Hugging Face folder or a llama2.c <c>.bin</c>.</param>
    /// <param name="backend">Where to compute.</param>
    /// <param name="lora">Adapter to add, or null.</param>
    /// <param name="seed">Seed of the adapter's initialisation.</param>
    /// <param name="training">Whether weights will be trained, which needs Float32 masters.</param>
    /// <exception cref="UserException">The checkpoint or its tokenizer is missing or bad.</exception>
    public static LoadedModel Load(string path, IBackend backend, LoraConfig? lora = null, ulong seed = 0, bool training = false)
    {
        Checkpoint source = Checkpoint.Open(path);
        Decoder? decoder = null;
        try
        {
            Tokenizer tokenizer = Tokenizer.Load(source.TokenizerPath ?? path);
            decoder = new Decoder(source.Config, backend, lora, seed, training);
            source.LoadInto(decoder.BaseParameters, backend);
            return new LoadedModel(source, decoder, tokenizer);
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
