using System.Runtime.CompilerServices;
using System.Text;
using System.Threading.Channels;
using Forgetting.Backends;
using Forgetting.Backends.Selection;
using Forgetting.Checkpoints;
using Forgetting.Checkpoints.Gguf;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Serving;
using Forgetting.Tensors;
using Forgetting.Text;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting;

/// <summary>
/// A language model in memory: it writes text, answers, tells the loss of data, is fine-tuned and saved. End tokens, chat template and
/// device are found as the commands of <c>forgetting</c> find them. Calls may come from several threads: texts are written together, and
/// each is what it would be alone; anything else is done by itself.
/// </summary>
/// <remarks>
/// Bad input of any kind is a <see cref="UserException"/>, whose message is one line that names what was found and what was expected.
/// </remarks>
public sealed partial class LanguageModel : IDisposable
{
    private readonly ReaderWriterLockSlim _gate = new(LockRecursionPolicy.SupportsRecursion); // shared by texts that are being written
    private readonly IBackend _backend;
    private readonly string _template;
    private readonly List<string> _temporaryFolders = [];
    private string _path;
    private string? _adapter;
    private DType? _baseType;
    private LoadedModel? _loaded; // null while the weights are not needed
    private ServedModel? _served;
    private bool _disposed;

    private LanguageModel(string path, string? adapter, string template, IBackend backend, DType? baseType) =>
        (_path, _adapter, _template, _backend, _baseType) = (path, adapter, template, backend, baseType);

    /// <summary>Loads a model.</summary>
    /// <param name="path">A Hugging Face folder, a GGUF file, a llama2.c <c>.bin</c>, or the folder of a finished run, which
    /// stands for the model in it.</param>
    /// <param name="device">Where to compute: <c>cpu</c>, <c>cuda</c>, <c>cuda:N</c>, <c>cuda-emu</c>, or <c>auto</c>, the first card where
    /// all that it needs is there and works, and else the CPU.</param>
    /// <param name="adapter">Folder of a PEFT adapter to add; null for none.</param>
    /// <param name="template">
    /// How messages become text: <c>chat</c> (the model's own template), <c>tulu</c>, <c>plain</c> (no markers), the path of a Jinja file,
    /// or <c>auto</c>: the model's own, and where it has none plain for a prompt and tulu for a conversation.
    /// </param>
    /// <param name="dtype">
    /// <c>fp32</c> or <c>bf16</c>: on a card the type of weights and activations, on the CPU of the operands of products; null for
    /// bf16 on a card and fp32 elsewhere.
    /// </param>
    /// <param name="baseDtype">
    /// <c>nf4</c> for the matrices of blocks in 4 bits (QLoRA, arXiv 2305.14314), over which an adapter may lie; null for the type of all.
    /// </param>
    /// <param name="notice">Gets a line where <c>auto</c> takes the CPU although there is a card: why, and
    /// what would change it. Or null.</param>
    /// <exception cref="UserException">No such device, or a model, adapter or template that is missing,
    /// malformed or does not fit.</exception>
    public static LanguageModel Load(
        string path, string device = "auto", string? adapter = null, string template = "auto", string? dtype = null,
        Action<string>? notice = null, string? baseDtype = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(template);
        DType? baseType = new LoraSettings { BaseDtype = baseDtype }.BaseType;
        var model = new LanguageModel(path, adapter, template, BackendFactory.Create(device, dtype: dtype, notice: notice), baseType);
        try
        {
            _ = model.Loaded.AnswerLayout(template);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The checkpoint whose weights these are: the one given, or after training all weights the one that the training wrote.
    /// </summary>
    public string Path => _path;

    /// <summary>Folder of the adapter in use, given or trained; null for none.</summary>
    public string? Adapter => _adapter;

    /// <summary>Where it computes: cpu, cuda:N, cuda-emu or cuda-ptx.</summary>
    public string Device => _backend.Name;

    /// <summary>Most tokens of a text, prompt and continuation together.</summary>
    public int ContextLength => Locked(() => Loaded.Decoder.Config.ContextLength);

    /// <summary>Number of weights, an adapter's among them.</summary>
    public long ParameterCount => Locked(() => Loaded.Decoder.ParameterCount);

    /// <summary>Continues a prompt; a model with a chat template answers it.</summary>
    /// <param name="prompt">The text; special tokens spelt out in it are text.</param>
    /// <param name="options">How tokens are drawn and when the text ends; null for the most probable ones.</param>
    /// <param name="cancellation">Ends the call between two tokens.</param>
    /// <returns>What follows the prompt.</returns>
    /// <exception cref="UserException">The prompt fills the context or is refused by the template, or an
    /// option is out of range.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public string Generate(string prompt, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        Collect(show => Continue(prompt, options, show, cancellation));

    /// <summary>Like <see cref="Generate"/>, a part of the text at a time, as it comes. Leaving the loop ends the generation.</summary>
    /// <inheritdoc cref="Generate"/>
    public IAsyncEnumerable<string> GenerateAsync(
        string prompt, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        Stream((show, stop) => Continue(prompt, options, show, stop), cancellation);

    /// <summary>Answers the last message of a conversation. Of one that goes on, only what is new is read.</summary>
    /// <param name="messages">The conversation so far; the last message is usually a user's.</param>
    /// <param name="options">How tokens are drawn and when the answer ends; null for the most probable ones.</param>
    /// <param name="cancellation">Ends the call between two tokens.</param>
    /// <returns>The assistant's answer.</returns>
    /// <exception cref="UserException">
    /// There is no message, the conversation fills the context or is refused by the template, or an option is out of range.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public string Chat(IReadOnlyList<ChatMessage> messages, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        Collect(show => Answer(messages, options, show, cancellation));

    /// <summary>Answers a question.</summary>
    /// <inheritdoc cref="Chat(IReadOnlyList{ChatMessage}, GenerationOptions?, CancellationToken)"/>
    public string Chat(string question, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        Chat([new ChatMessage("user", question)], options, cancellation);

    /// <summary>
    /// Like <see cref="Chat(IReadOnlyList{ChatMessage}, GenerationOptions?, CancellationToken)"/>, a part of the answer at a time, as it
    /// comes. Leaving the loop ends the generation.
    /// </summary>
    /// <inheritdoc cref="Chat(IReadOnlyList{ChatMessage}, GenerationOptions?, CancellationToken)"/>
    public IAsyncEnumerable<string> ChatAsync(
        IReadOnlyList<ChatMessage> messages, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        Stream((show, stop) => Answer(messages, options, show, stop), cancellation);

    /// <summary>Writes the model as a Hugging Face folder, an adapter merged into the weights.</summary>
    /// <param name="folder">Folder to write; appears whole or not at all.</param>
    /// <param name="dtype">Element type of the weights in the files.</param>
    /// <exception cref="UserException">Not writable, disk full, an existing folder that is not a model's, or the model's own.</exception>
    public void Save(string folder, SaveDtype dtype = SaveDtype.Source) => Locked(() =>
    {
        // A copy of a model keeps its card, if it has one.
        Action<string> addFiles = _adapter is null
            ? new ModelCard(ModelCard.NameOf(_path), $"The model {ModelCard.NameOf(_path)}.", null, IsAdapter: false).AddWhereMissing
            : ChatFiles.OfAdapter(_adapter).AddTo + (Action<string>)ModelCard.Merged(_path, _adapter).AddTo;
        return AdapterMerge.Write(folder, Loaded.Decoder, Loaded.Source, addFiles, dtype.ToStoredType());
    });

    /// <summary>Writes the adapter as PEFT reads it.</summary>
    /// <param name="folder">Folder to write; appears whole or not at all.</param>
    /// <exception cref="UserException">The model has no adapter, or the folder cannot be written or is not an adapter's.</exception>
    public void SaveAdapter(string folder) => Locked(() =>
    {
        if (_adapter is null)
        {
            throw new UserException(
                $"{_path}: has no adapter to save; expected one given to Load, or made by FineTune with lora-rank above 0");
        }

        PeftAdapter.Write(
            folder, Loaded.Decoder, Loaded.Source.Path,
            ChatFiles.OfAdapter(_adapter).AddToAdapter + (Action<string>)ModelCard.Copied(Loaded.Source.Path, _adapter).AddTo);
        return 0;
    });

    /// <summary>
    /// Writes the model as a GGUF file, which llama.cpp and ollama run, an adapter merged into the
    /// weights; beside it a Modelfile for ollama.
    /// </summary>
    /// <param name="file">File to write; appears whole or not at all.</param>
    /// <param name="type">Element type of the weights' matrices; vectors are kept in Float32.</param>
    /// <exception cref="UserException">llama.cpp does not know the model's family or tokenizer, or the file cannot be written.</exception>
    public void ExportGguf(string file, GgufType type = GgufType.F16) => Locked(() =>
    {
        ArgumentNullException.ThrowIfNull(file);
        if (_adapter is null)
        {
            GgufExport.WriteModel(_path, file, type);
            return 0;
        }

        string merged = Directory.CreateTempSubdirectory("forgetting-").FullName;
        try
        {
            AdapterMerge.Write(merged, Loaded.Decoder, Loaded.Source, ChatFiles.OfAdapter(_adapter).AddTo, StoredType.F32);
            GgufExport.WriteModel(merged, file, type, ModelCard.NameOf(_adapter));
            return 0;
        }
        finally
        {
            Temporary.Delete(merged);
        }
    });

    /// <summary>Frees the memory of the device, and the records of trainings that were given no folder.</summary>
    public void Dispose()
    {
        _gate.EnterWriteLock();
        try
        {
            if (_disposed)
                return;

            Unload();
            _backend.Dispose();
            _disposed = true;
            _temporaryFolders.ForEach(Temporary.Delete);
        }
        finally
        {
            _gate.ExitWriteLock();
        }
    }

    // The weights come back into memory with the next call that needs them.
    private LoadedModel Loaded => _loaded ??= LoadedModel.Load(_path, _backend, adapter: _adapter, baseType: _baseType);

    private void Unload()
    {
        _served?.Dispose();
        _loaded?.Dispose();
        (_served, _loaded) = (null, null);
    }

    private T Locked<T>(Func<T> action)
    {
        _gate.EnterWriteLock();
        try
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return action();
        }
        catch (DeviceMemoryException error)
        {
            // Too large a model or too long a text for this device is bad input too.
            throw new UserException(error.Message, error);
        }
        finally
        {
            _gate.ExitWriteLock();
        }
    }

    private void Together(Action<ServedModel> write)
    {
        while (true)
        {
            _gate.EnterReadLock();
            try
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (_served is not null)
                {
                    write(_served);
                    return;
                }
            }
            catch (DeviceMemoryException error)
            {
                throw new UserException(error.Message, error);
            }
            finally
            {
                _gate.ExitReadLock();
            }

            // The weights may be gone again before the next look, where another call trains them.
            Locked(() => _served ??= ServedModel.Alone(Loaded));
        }
    }

    private void Continue(string prompt, GenerationOptions? options, Action<string> show, CancellationToken cancellation) =>
        Together(served =>
        {
            ArgumentNullException.ThrowIfNull(prompt);
            MessageLayout? layout = served.Loaded.AnswerLayout(_template);
            int[] ids = served.Loaded.EncodePrompt(prompt, layout, allowSpecial: false, place: nameof(prompt));
            Continue(served, ids, layout, options, show, cancellation);
        });

    private void Answer(
        IReadOnlyList<ChatMessage> messages, GenerationOptions? options, Action<string> show, CancellationToken cancellation) =>
        Together(served =>
        {
            ArgumentNullException.ThrowIfNull(messages);
            if (messages.Count == 0)
                throw new UserException("messages: found none, expected at least one to answer");

            MessageLayout layout = ChatLayout.Named(_template, served.Loaded.Source.Path, _adapter);
            int[] ids = served.Loaded.EncodeMessages(messages, layout, "the conversation");
            Continue(served, ids, layout, options, show, cancellation);
        });

    private static void Continue(
        ServedModel served, int[] prompt, MessageLayout? layout, GenerationOptions? options, Action<string> show,
        CancellationToken cancellation)
    {
        options ??= new GenerationOptions();
        Tokenizer tokenizer = served.Loaded.Tokenizer;
        StreamingDecoder decoder = layout is null ? tokenizer.StartDecodingAfter(prompt) : tokenizer.StartDecoding();
        served.Continue(prompt, options with { StopIds = options.StopIds ?? served.Loaded.EndIdsIn(layout) }, decoder, show, cancellation);
    }

    private static string Collect(Action<Action<string>> write)
    {
        var text = new StringBuilder();
        write(part => text.Append(part));
        return text.ToString();
    }

    private static async IAsyncEnumerable<string> Stream(
        Action<Action<string>, CancellationToken> write, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var parts = Channel.CreateUnbounded<string>();
        CancellationToken stopped = stop.Token;
        Task work = Task.Run(
            () =>
            {
                try
                {
                    write(part => { if (part.Length > 0) parts.Writer.TryWrite(part); }, stopped);
                    parts.Writer.Complete();
                }
                catch (Exception error)
                {
                    // Thrown again where the parts are read.
                    parts.Writer.Complete(error);
                }
            },
            CancellationToken.None);
        try
        {
            await foreach (string part in parts.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                yield return part;

                // Writing may be ahead of reading, and even done.
                cancellation.ThrowIfCancellationRequested();
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await work.ConfigureAwait(false);
        }
    }
}
