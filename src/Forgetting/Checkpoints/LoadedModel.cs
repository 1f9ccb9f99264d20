using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Checkpoints;

/// <summary>A checkpoint in memory and ready to compute: its decoder with weights loaded, and its tokenizer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private readonly IReadOnlyList<int> _adapterEnds;
    private readonly bool _ownsSource;

    private LoadedModel(Checkpoint source, string? adapter, Decoder decoder, Tokenizer tokenizer, bool ownsSource = true)
    {
        (Source, Adapter, Decoder, Tokenizer, _ownsSource) = (source, adapter, decoder, tokenizer, ownsSource);
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
    public IReadOnlyList<int> EndIds => EndIdsWith(TurnEnd);

    /// <summary>Id that closes an answer in the layout that is in use, which the files need not name; or null.</summary>
    public int? TurnEnd { get; set; }

    /// <summary>Loads a checkpoint.</summary>
    /// <param name="path">A Hugging Face folder, a GGUF file or a llama2.c <c>.bin</c>.</param>
    /// <param name="backend">Where to compute.</param>
    /// <param name="lora">Adapter to add, or null; not with <paramref name="adapter"/>.</param>
    /// <param name="seed">Seed of a new adapter's initialisation.</param>
    /// <param name="training">Whether weights will be trained, which needs Float32 masters.</param>
    /// <param name="adapter">Folder of a PEFT adapter to add, or null.</param>
    /// <param name="sharding">What ranks divide of what is trained, or null.</param>
    /// <param name="baseType">Element type of matrices that are not trained (<see cref="Models.Decoder"/>), or null.</param>
    /// <param name="trainedType">Element type of what is trained without masters (<see cref="Models.Decoder"/>), or null.</param>
    /// <exception cref="UserException">The checkpoint, its tokenizer or the adapter is missing or bad, or they do not fit.</exception>
    public static LoadedModel Load(
        string path, IBackend backend, LoraConfig? lora = null, ulong seed = 0, bool training = false, string? adapter = null,
        Sharding? sharding = null, DType? baseType = null, DType? trainedType = null)
    {
        using PeftAdapter? peft = adapter is null ? null : PeftAdapter.Open(adapter);
        Checkpoint source = Checkpoint.Open(path);
        Decoder? decoder = null;
        try
        {
            Tokenizer tokenizer = Tokenizer.Load(source.TokenizerPath ?? path);
            decoder = new Decoder(
                source.Config, backend, peft?.Config ?? lora, seed, training, sharding: sharding, baseType: baseType,
                trainedType: trainedType);
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

    /// <summary>Loads an adapter beside a checkpoint, whose weights the two share.</summary>
    /// <param name="adapter">Folder of a PEFT adapter.</param>
    /// <returns>The adapted model, which this one must outlive.</returns>
    /// <exception cref="UserException">The adapter is missing or bad, or does not fit.</exception>
    public LoadedModel WithAdapter(string adapter)
    {
        if (Adapter is not null)
            throw new InvalidOperationException($"the model has an adapter already: {Adapter}");

        using PeftAdapter peft = PeftAdapter.Open(adapter);
        var decoder = new Decoder(
            Source.Config, Decoder.Backend, peft.Config, training: false, shared: Decoder, baseType: Decoder.BaseType);
        try
        {
            Source.LoadInto(decoder.BaseParameters, decoder.Backend, decoder.Owns);
            peft.LoadInto(decoder);
            return new LoadedModel(Source, adapter, decoder, Tokenizer, ownsSource: false);
        }
        catch
        {
            decoder.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The layout in which a single prompt is answered: the one that is named, or the model's own; null where the prompt is continued as it
    /// is, as by a model that was trained without markers.
    /// </summary>
    /// <param name="template">As <see cref="ChatLayout.Named(string, string, string?, Func{DateTime}?)"/> takes it; null for auto.</param>
    /// <exception cref="UserException">There is none, or it is malformed.</exception>
    internal MessageLayout? AnswerLayout(string? template)
    {
        MessageLayout? layout =
            template is null or "auto" ? ChatLayout.Own(Source.Path, Adapter) : ChatLayout.Named(template, Source.Path, Adapter);
        return layout == MessageLayout.Plain ? null : layout;
    }

    /// <summary>The ids of a single prompt in a layout.</summary>
    /// <param name="place">What errors call the prompt.</param>
    /// <exception cref="UserException">The template refuses it, or there is nothing to continue.</exception>
    internal int[] EncodePrompt(string prompt, MessageLayout? layout, bool allowSpecial, string place)
    {
        int[] ids = layout is null
            ? Tokenizer.Encode(prompt, allowSpecial: allowSpecial)
            : EncodeMessages([new ChatMessage("user", prompt)], layout, place, allowSpecial);
        return ids.Length > 0 ? ids : throw new UserException($"{place}: empty, and the tokenizer puts no token in front; expected a text");
    }

    /// <summary>The ids of a conversation that is to be answered.</summary>
    /// <param name="place">What errors call the conversation.</param>
    /// <exception cref="UserException">The template refuses it.</exception>
    internal int[] EncodeMessages(IReadOnlyList<ChatMessage> messages, MessageLayout layout, string place, bool allowSpecial = false) =>
        new ExampleEncoder(Tokenizer, int.MaxValue, allowSpecial, layout).EncodePrompt(
            new DataExample { Index = 0, Place = place, Messages = messages });

    /// <summary>Every id that ends a text in a layout, or in none.</summary>
    internal IReadOnlyList<int> EndIdsIn(MessageLayout? layout) =>
        EndIdsWith(layout is null ? null : ChatLayout.TurnEnd(Tokenizer, layout));

    /// <inheritdoc/>
    public void Dispose()
    {
        Decoder.Dispose();
        if (_ownsSource)
            Source.Dispose();
    }

    private int[] EndIdsWith(int? turnEnd) =>
        [.. Decoder.Config.EosTokenIds.Union(Tokenizer.EosIds).Union(_adapterEnds).Union(turnEnd is int end ? [end] : [])];
}
