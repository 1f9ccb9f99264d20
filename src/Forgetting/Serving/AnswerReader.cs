using Forgetting.Models;
using Forgetting.Text.Tokenizers;

namespace Forgetting.Serving;

/// <summary>How much of the probabilities of tokens is told.</summary>
/// <param name="Likeliest">How many of the likeliest tokens in each place.</param>
/// <param name="Prompt">The prompt, where its tokens are wanted too; or null.</param>
internal sealed record ProbabilityOptions(int Likeliest, int[]? Prompt = null);

/// <summary>
/// Makes text of a sequence's tokens as they come, up to the first of some stop texts. Tokens are told with the text that they belong to,
/// and those of a stop text not at all.
/// </summary>
/// <param name="decoder">Makes text of the new ids; may have decoded the prompt.</param>
/// <param name="stops">Texts that end the text and are not part of it.</param>
/// <param name="show">Called with the parts of the text, some of them empty, and the tokens in them.</param>
/// <param name="probabilities">Which probabilities to tell; null for none.</param>
internal sealed class AnswerReader(
    StreamingDecoder decoder, IReadOnlyList<string> stops, Action<string, IReadOnlyList<TokenProbability>> show,
    ProbabilityOptions? probabilities = null) : ITokenReader
{
    private readonly StoppingDecoder _text = new(decoder, stops);
    private readonly Queue<TokenProbability> _held = [];
    private readonly List<TokenProbability> _prompt = [];
    private int _shown;

    /// <summary>Whether a stop text came.</summary>
    public bool Stopped => _text.Stopped;

    /// <summary>The prompt's tokens but the first, where they are wanted.</summary>
    public IReadOnlyList<TokenProbability> Prompt => _prompt;

    /// <inheritdoc/>
    public bool WantsPrompt => probabilities?.Prompt is not null;

    /// <inheritdoc/>
    public bool WantsLogits => probabilities is not null;

    /// <inheritdoc/>
    public void ReadPrompt(int position, ReadOnlySpan<float> logits) =>
        _prompt.Add(TokenProbability.Of(probabilities!.Prompt![position + 1], logits, probabilities.Likeliest, start: 0));

    /// <inheritdoc/>
    public bool Read(int id, ReadOnlySpan<float> logits)
    {
        if (probabilities is not null)
            _held.Enqueue(TokenProbability.Of(id, logits, probabilities.Likeliest, _shown + _text.Held));

        Show(_text.Add(id));
        return !_text.Stopped;
    }

    /// <summary>Shows what was held back, at the end.</summary>
    public void Finish() => Show(_text.Finish());

    private void Show(string text)
    {
        _shown += text.Length;
        List<TokenProbability> tokens = [];
        while (_held.TryPeek(out TokenProbability token) && (token.Start < _shown || (!_text.Stopped && _text.Held == 0)))
        {
            tokens.Add(_held.Dequeue());
        }

        show(text, tokens);
    }
}
