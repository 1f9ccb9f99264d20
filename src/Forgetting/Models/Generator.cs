using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Continues prompts: all of them are read in one pass that fills a key-value cache, then one token is added to each unfinished
/// sequence per pass. Prompts may differ in length, and nothing is padded. What a sequence becomes depends on its prompt, the options
/// and its key alone, not on its company.
/// </summary>
internal sealed class Generator(Decoder decoder)
{
    /// <summary>Continues <paramref name="prompts"/>.</summary>
    /// <param name="prompts">Token ids, at least one each.</param>
    /// <param name="options">How to draw and when to end.</param>
    /// <param name="onToken">Called with each new token as it is drawn: (index of the prompt, token).
    /// Returning false ends that sequence.</param>
    /// <param name="keys">Key of each prompt's random numbers, so that a batch may be any part of a data set; null for the index.</param>
    /// <param name="kept">For a single prompt: what an earlier call left, so that only what is new is read; the
    /// tokens are the same. Or null.</param>
    /// <param name="cancellation">Ends the generation between two tokens.</param>
    /// <returns>The new tokens of each prompt, without the id that ended it.</returns>
    /// <exception cref="UserException">A prompt is empty, leaves no room in the context or has ids outside the vocabulary; or an
    /// option is out of range.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was requested.</exception>
    public IReadOnlyList<int[]> Generate(
        IReadOnlyList<int[]> prompts, GenerationOptions options, Func<int, int, bool>? onToken = null,
        IReadOnlyList<int>? keys = null, PromptCache? kept = null, CancellationToken cancellation = default)
    {
        options.Validate();
        if (kept is not null && prompts.Count != 1)
            throw new ArgumentException($"{prompts.Count} prompts share a cache for one", nameof(kept));

        IReadOnlyList<int> stops = options.StopIds ?? decoder.Config.EosTokenIds;
        List<Sequence> all = [.. prompts.Select((prompt, i) => Start(prompt, i, keys?[i] ?? i, options))];
        int rows = 0;
        foreach (Sequence sequence in all)
        {
            sequence.FirstRow = rows;
            rows += sequence.Capacity;
        }

        using KeyValueCache? own = kept is null ? new KeyValueCache(decoder.Config, decoder.Backend, rows) : null;
        KeyValueCache cache = own ?? kept!.Begin(prompts[0], rows);
        if (kept is not null)
            all[0].Cached = kept.Reused;

        List<Sequence> active = [.. all];
        while (active.Count > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            int[] drawn = Draw(NextTokenLogits(cache, active), active, options);
            kept?.Filled(all[0].Tokens, all[0].Cached);
            for (int i = 0; i < active.Count; i++)
            {
                active[i].Append(drawn[i], stops, options.MaxNewTokens, onToken);
            }

            active.RemoveAll(sequence => sequence.Ended);
        }

        return [.. all.Select(sequence => sequence.Tokens.Skip(sequence.PromptLength).ToArray())];
    }

    private Sequence Start(int[] prompt, int index, int key, GenerationOptions options)
    {
        int context = decoder.Config.ContextLength;
        if (prompt.Length == 0 || prompt.Length >= context)
        {
            throw new UserException(
                $"prompt {index}: {prompt.Length} tokens, expected 1 to {context - 1} (the context length is {context})");
        }

        foreach (int id in prompt)
        {
            if ((uint)id >= (uint)decoder.Config.VocabularySize)
                throw new UserException($"prompt {index}: token id {id}, expected 0 to {decoder.Config.VocabularySize - 1}");
        }

        return new Sequence(prompt, index, key, (int)Math.Min(context, (long)prompt.Length + options.MaxNewTokens));
    }

    // Feeds the tokens that the cache has not seen, and returns the logits [n, V] (Float32) after each sequence's last.
    private Tensor NextTokenLogits(KeyValueCache cache, List<Sequence> active)
    {
        int total = active.Sum(s => s.Tokens.Count - s.Cached);
        var ids = new int[total];
        var positions = new int[total];
        var cacheRows = new int[total];
        var offsets = new int[active.Count + 1];
        var last = new int[active.Count];
        int t = 0;
        for (int i = 0; i < active.Count; i++)
        {
            Sequence sequence = active[i];
            for (; sequence.Cached < sequence.Tokens.Count; sequence.Cached++)
            {
                ids[t] = sequence.Tokens[sequence.Cached];
                positions[t] = sequence.Cached;
                cacheRows[t++] = sequence.FirstRow + sequence.Cached;
            }

            offsets[i + 1] = t;
            last[i] = t - 1;
        }

        cache.Place(cacheRows, [.. active.Select(s => s.FirstRow)], [.. active.Select(s => s.Cached)]);
        return decoder.Logits(ids, positions, offsets, last, cache);
    }

    private int[] Draw(Tensor logits, List<Sequence> active, GenerationOptions options)
    {
        IBackend backend = decoder.Backend;
        if (options.RepetitionPenalty != 1)
            Penalize(logits, active, (float)options.RepetitionPenalty);

        var uniforms = new float[active.Count];
        for (int i = 0; i < uniforms.Length; i++)
        {
            (uint word, _, _, _) = Philox.Words(
                options.Seed, (uint)active[i].Key, (uint)active[i].Tokens.Count, 0, RandomDomain.Generation);
            uniforms[i] = Philox.ToUniform(word);
        }

        Arena arena = decoder.Activations;
        Tensor uniform = arena.Take(1, active.Count); // Float32 [1, n]
        backend.Upload<float>(uniforms, uniform);
        Tensor ids = arena.Take(1, active.Count, DType.Int32); // [1, n]
        backend.Sample(logits, (float)options.Temperature, options.TopK, (float)options.TopP, uniform, ids);
        var drawn = new int[active.Count];
        backend.Download<int>(ids, drawn);
        return drawn;
    }

    // Rare enough to be done on the host.
    private void Penalize(Tensor logits, List<Sequence> active, float penalty)
    {
        var row = new float[logits.Columns];
        for (int i = 0; i < active.Count; i++)
        {
            decoder.Backend.Download<float>(logits.RowRange(i, 1), row);
            foreach (int id in active[i].Tokens.Distinct())
            {
                row[id] = row[id] > 0 ? row[id] / penalty : row[id] * penalty;
            }

            decoder.Backend.Upload<float>(row, logits.RowRange(i, 1));
        }
    }

    private sealed class Sequence(int[] prompt, int index, int key, int capacity)
    {
        public List<int> Tokens { get; } = [.. prompt];

        public int PromptLength => prompt.Length;

        public int Key => key;

        public int Capacity => capacity;

        public int FirstRow { get; set; }

        /// <summary>Tokens whose keys and values are in the cache.</summary>
        public int Cached { get; set; }

        public bool Ended { get; private set; }

        public void Append(int token, IReadOnlyList<int> stops, int most, Func<int, int, bool>? onToken)
        {
            if (stops.Contains(token))
            {
                Ended = true;
                return;
            }

            Tokens.Add(token);
            bool wanted = onToken?.Invoke(index, token) ?? true;
            Ended = !wanted || Tokens.Count == capacity || Tokens.Count - prompt.Length == most;
        }
    }
}
