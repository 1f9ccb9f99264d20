using Forgetting.Core;

namespace Forgetting.Models;

/// <summary>
/// Continues prompts: all of them are read in one pass that fills a key-value cache, then one token is added to each unfinished
/// sequence per pass. Prompts may differ in length.
/// </summary>
internal sealed class Generator(Decoder decoder)
{
    private readonly GenerationStep _step = new(decoder);

    /// <summary>Continues <paramref name="prompts"/>.</summary>
    /// <param name="prompts">Token ids, at least one each.</param>
    /// <param name="options">How to draw and when to end.</param>
    /// <param name="onToken">Called with each new token as it is drawn: (index of the prompt, token).
    /// Returning false ends that sequence.</param>
    /// <param name="keys">Key of each prompt's random numbers, so that a batch may be any part of a data set; null for the index.</param>
    /// <param name="cancellation">Ends the generation between two tokens.</param>
    /// <returns>The new tokens of each prompt, without the id that ended it.</returns>
    /// <exception cref="UserException">A prompt is empty, leaves no room in the context or has ids outside the vocabulary; or an
    /// option is out of range.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was requested.</exception>
    public IReadOnlyList<int[]> Generate(
        IReadOnlyList<int[]> prompts, GenerationOptions options, Func<int, int, bool>? onToken = null,
        IReadOnlyList<int>? keys = null, CancellationToken cancellation = default)
    {
        options.Validate();
        List<TokenSequence> all =
        [
            .. prompts.Select((prompt, i) => new TokenSequence(
                decoder.Config, prompt, options, keys?[i] ?? i, onToken is null ? null : new Reader(i, onToken), $"prompt {i}")),
        ];
        int rows = 0;
        foreach (TokenSequence sequence in all)
        {
            sequence.FirstRow = rows;
            rows += sequence.Capacity;
        }

        using var cache = new KeyValueCache(decoder.Config, decoder.Backend, rows);
        List<TokenSequence> active = [.. all];
        while (active.Count > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            _step.Run(cache, active.Select(sequence => (sequence, sequence.Unread)));
            active.RemoveAll(sequence => sequence.End != SequenceEnd.None);
        }

        return [.. all.Select(sequence => sequence.Drawn)];
    }

    private sealed class Reader(int index, Func<int, int, bool> onToken) : ITokenReader
    {
        public bool Read(int id, ReadOnlySpan<float> logits) => onToken(index, id);
    }
}
