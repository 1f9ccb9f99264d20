using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Serving;

/// <summary>A loaded model that writes texts, several at once and beside others.</summary>
internal sealed class ServedModel : IDisposable
{
    private readonly EngineModel _model;
    private readonly GenerationEngine _engine;
    private readonly bool _alone;

    /// <param name="loaded">The model; not disposed with this.</param>
    /// <param name="engine">What it shares with others.</param>
    /// <param name="pool">Rows for its sequences, which adapters beside one base share.</param>
    public ServedModel(LoadedModel loaded, GenerationEngine engine, KeyValuePool pool)
        : this(loaded, engine, pool, alone: false)
    {
    }

    private ServedModel(LoadedModel loaded, GenerationEngine engine, KeyValuePool pool, bool alone) =>
        (Loaded, _model, _engine, _alone) = (loaded, new EngineModel(loaded.Decoder, pool), engine, alone);

    /// <summary>The model.</summary>
    public LoadedModel Loaded { get; }

    /// <summary>A model with an engine of its own, whose memory grows with what is asked of it.</summary>
    public static ServedModel Alone(LoadedModel loaded)
    {
        var limits = new EngineLimits { Waiting = int.MaxValue };
        ModelConfig config = loaded.Decoder.Config;
        int most = (int)Math.Min((long)config.ContextLength * limits.Sequences, int.MaxValue);
        return new ServedModel(
            loaded, new GenerationEngine(limits), new KeyValuePool(config, loaded.Decoder.Backend, most), alone: true);
    }

    /// <summary>Writes sequences; see <see cref="GenerationEngine.Write"/>.</summary>
    public Task<SequenceEnd[]> Write(IReadOnlyList<TokenSequence> sequences, CancellationToken cancellation) =>
        _engine.Write(_model, sequences, cancellation);

    /// <summary>
    /// Continues a prompt and hands out the text as it comes; what was held back is handed out too where it is cancelled.
    /// </summary>
    /// <param name="decoder">Makes text of the new ids; may have decoded the prompt.</param>
    /// <param name="show">Called with the parts of the text on a thread of the engine; some are empty.</param>
    /// <returns>The sequence at its end.</returns>
    /// <exception cref="UserException">The prompt is empty or leaves no room in the context, or an option is out of range.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was requested.</exception>
    public TokenSequence Continue(
        int[] prompt, GenerationOptions options, StreamingDecoder decoder, Action<string> show, CancellationToken cancellation)
    {
        var reader = new AnswerReader(decoder, options.StopTexts, (text, _) => show(text));
        var sequence = new TokenSequence(Loaded.Decoder.Config, prompt, options, reader: reader, place: "the prompt");
        try
        {
            Write([sequence], cancellation).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            reader.Finish();
            throw;
        }

        reader.Finish();
        return sequence;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_alone)
            return;

        _engine.Dispose();
        _model.Pool.Dispose();
    }
}
