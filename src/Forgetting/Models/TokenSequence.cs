using Forgetting.Core;

namespace Forgetting.Models;

/// <summary>Why a sequence ended.</summary>
internal enum SequenceEnd
{
    /// <summary>It goes on.</summary>
    None,

    /// <summary>One of the ids that end a text was drawn.</summary>
    StopId,

    /// <summary>Its reader wanted no more.</summary>
    Reader,

    /// <summary>It has as many tokens as it may have.</summary>
    Length,
}

/// <summary>What becomes of a sequence's tokens and logits as they come.</summary>
internal interface ITokenReader
{
    /// <summary>Whether <see cref="ReadPrompt"/> is to be called.</summary>
    bool WantsPrompt => false;

    /// <summary>Whether <see cref="Read"/> is to be given logits.</summary>
    bool WantsLogits => false;

    /// <summary>The logits behind a token of the prompt, which say how likely the next one of it was.</summary>
    /// <param name="position">From 0 to that of the last token but one, in order.</param>
    /// <param name="logits">[V].</param>
    void ReadPrompt(int position, ReadOnlySpan<float> logits)
    {
    }

    /// <summary>A token that was drawn; one that ends the text is not shown.</summary>
    /// <param name="logits">[V] what it was drawn from, before temperature and penalty; or empty.</param>
    /// <returns>False to end the sequence.</returns>
    bool Read(int id, ReadOnlySpan<float> logits);
}

/// <summary>A prompt and what it becomes.</summary>
internal sealed class TokenSequence
{
    private readonly IReadOnlyList<int> _stops;
    private readonly int _most;
    private readonly int _turnsOtherwiseFrom;

    /// <param name="config">The model.</param>
    /// <param name="prompt">Token ids.</param>
    /// <param name="options">How to draw and when to end.</param>
    /// <param name="key">Key of its random numbers.</param>
    /// <param name="reader">Gets the new tokens, or null.</param>
    /// <param name="place">What errors call the prompt.</param>
    /// <param name="readOnly">Nothing is drawn: the prompt is only read.</param>
    /// <exception cref="UserException">The prompt is empty, leaves no room in the context or has ids outside the vocabulary; or an
    /// option is out of range.</exception>
    public TokenSequence(
        ModelConfig config, int[] prompt, GenerationOptions options, int key = 0, ITokenReader? reader = null, string place = "the prompt",
        bool readOnly = false)
    {
        options.Validate();
        int context = config.ContextLength, longest = readOnly ? context : context - 1;
        if (prompt.Length == 0 || prompt.Length > longest)
            throw new UserException($"{place}: {prompt.Length} tokens, expected 1 to {longest} (the context length is {context})");

        foreach (int id in prompt)
        {
            if ((uint)id >= (uint)config.VocabularySize)
                throw new UserException($"{place}: token id {id}, expected 0 to {config.VocabularySize - 1}");
        }

        (Tokens, PromptLength, Options, Key, Reader) = ([.. prompt], prompt.Length, options, key, reader);
        _stops = options.StopIds ?? config.EosTokenIds;
        _most = readOnly ? 0 : options.MaxNewTokens;
        _turnsOtherwiseFrom = config.TurnsOtherwiseFrom;
        Capacity = (int)Math.Min(context, (long)prompt.Length + _most);
    }

    /// <summary>The prompt, and what was drawn.</summary>
    public List<int> Tokens { get; }

    /// <summary>Tokens of the prompt.</summary>
    public int PromptLength { get; }

    /// <summary>How to draw.</summary>
    public GenerationOptions Options { get; }

    /// <summary>Key of the random numbers.</summary>
    public int Key { get; }

    /// <summary>Gets the new tokens, or null.</summary>
    public ITokenReader? Reader { get; }

    /// <summary>Most tokens that it may come to have, and places in the cache that it needs.</summary>
    public int Capacity { get; }

    /// <summary>Place of its first token in the cache.</summary>
    public int FirstRow { get; set; }

    /// <summary>Tokens whose keys and values are in the cache.</summary>
    public int Cached { get; set; }

    /// <summary>Tokens of the prompt that an earlier text left in the cache.</summary>
    public int Reused { get; set; }

    /// <summary>Tokens that are still to be read.</summary>
    public int Unread => Tokens.Count - Cached;

    /// <summary>Whether the prompt is still being read, or the text again.</summary>
    public bool IsReading => Cached < PromptLength || Unread > 1;

    /// <summary>Whether its keys turn as those of texts beyond the original context do.</summary>
    public bool TurnsOtherwise => Tokens.Count > _turnsOtherwiseFrom;

    /// <summary>Whether it has grown beyond the original context while it was written, so that all of it was to be read again.</summary>
    public bool IsReadAgain => TurnsOtherwise && PromptLength <= _turnsOtherwiseFrom;

    /// <summary>Whether a token is to be drawn once everything is read.</summary>
    public bool Draws => _most > 0;

    /// <summary>Why it ended, or None.</summary>
    public SequenceEnd End { get; private set; }

    /// <summary>What was drawn, without the id that ended it.</summary>
    public int[] Drawn => [.. Tokens.Skip(PromptLength)];

    /// <summary>Ends a sequence of which nothing is drawn.</summary>
    public void EndReading() => End = SequenceEnd.Length;

    /// <summary>Takes a drawn token.</summary>
    /// <param name="logits">See <see cref="ITokenReader.Read"/>.</param>
    public void Append(int token, ReadOnlySpan<float> logits)
    {
        if (_stops.Contains(token))
        {
            End = SequenceEnd.StopId;
            return;
        }

        Tokens.Add(token);
        if (Tokens.Count == _turnsOtherwiseFrom + 1L)
            Cached = 0;

        End = Reader?.Read(token, logits) == false ? SequenceEnd.Reader
            : Tokens.Count == Capacity ? SequenceEnd.Length
            : SequenceEnd.None;
    }
}
