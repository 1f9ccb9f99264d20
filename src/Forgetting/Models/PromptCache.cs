namespace Forgetting.Models;

/// <summary>
/// Keys and values of one sequence, kept from one generation to the next: of a prompt that begins as the
/// last text did, only the rest is read.
/// </summary>
/// <param name="decoder">The model; its weights must not change while the cache is used.</param>
internal sealed class PromptCache(Decoder decoder) : IDisposable
{
    private readonly List<int> _tokens = []; // those whose keys and values are in the rows of the same number
    private KeyValueCache? _memory;

    /// <summary>Tokens of the last prompt that were there already.</summary>
    public int Reused { get; private set; }

    /// <inheritdoc/>
    public void Dispose() => _memory?.Dispose();

    /// <summary>Room for a sequence that begins with a prompt; its first <see cref="Reused"/> tokens are there.</summary>
    internal KeyValueCache Begin(int[] prompt, int capacity)
    {
        // The last token is always read, since what follows it is asked for.
        int known = Math.Min(_tokens.Zip(prompt).TakeWhile(pair => pair.First == pair.Second).Count(), prompt.Length - 1);
        _tokens.RemoveRange(known, _tokens.Count - known);
        if (_memory is null || _memory.Rows < capacity)
        {
            // Twice the need, so that a conversation that goes on moves seldom.
            var larger = new KeyValueCache(decoder.Config, decoder.Backend, (int)Math.Min(decoder.Config.ContextLength, 2L * capacity));
            if (_memory is not null)
            {
                larger.CopyFrom(decoder.Backend, _memory, known);
                _memory.Dispose();
            }

            _memory = larger;
        }

        Reused = known;
        return _memory;
    }

    /// <summary>Says that the first so many tokens of a sequence are there now.</summary>
    internal void Filled(List<int> tokens, int count) => _tokens.AddRange(tokens[_tokens.Count..count]);
}
