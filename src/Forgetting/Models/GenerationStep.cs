using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// One pass over several sequences at once: each reads some of its tokens, and of those that have read all, the next is drawn. Nothing is
/// padded, and what a sequence gets depends on its tokens, options and key alone, not on its company or on how its prompt was cut.
/// </summary>
internal sealed class GenerationStep(Decoder decoder)
{
    private readonly List<float[]> _kept = []; // [V] each: logits on the host

    /// <summary>Reads tokens behind those that are in the cache, and draws.</summary>
    /// <param name="cache">Where the sequences have their places.</param>
    /// <param name="parts">The sequences, and how many unread tokens each reads.</param>
    public void Run(KeyValueCache cache, IEnumerable<(TokenSequence Sequence, int Count)> parts)
    {
        // First those that get a token, like with like, so that each kind is drawn at once.
        Part[] ordered =
        [
            .. parts.Select(part => new Part(part.Sequence, part.Count, part.Sequence.Draws && part.Count == part.Sequence.Unread))
                .OrderByDescending(part => part.Draws).ThenBy(part => part.Sequence.Options.Temperature)
                .ThenBy(part => part.Sequence.Options.TopK).ThenBy(part => part.Sequence.Options.TopP),
        ];
        int draws = ordered.Count(part => part.Draws);
        var prompts = new List<(TokenSequence Sequence, int Position)>();
        Tensor logits = Read(cache, ordered, draws, prompts);
        for (int i = 0; i < prompts.Count; i++)
        {
            prompts[i].Sequence.Reader!.ReadPrompt(prompts[i].Position, Download(logits, draws + i, slot: 0));
        }

        float[]?[] kept = [.. ordered.Take(draws).Select((part, i) =>
            part.Sequence.Reader is { WantsLogits: true } ? Download(logits, i, slot: i) : null)];
        int[] drawn = draws == 0 ? [] : Draw(logits, [.. ordered.Take(draws).Select(part => part.Sequence)]);
        for (int i = 0; i < ordered.Length; i++)
        {
            TokenSequence sequence = ordered[i].Sequence;
            if (i < draws)
                sequence.Append(drawn[i], kept[i]);
            else if (!sequence.Draws && sequence.Unread == 0)
                sequence.EndReading();
        }
    }

    // Returns the logits [draws + prompts, V] behind the last token of each sequence that draws, then behind
    // tokens of prompts that a reader wants to know of.
    private Tensor Read(KeyValueCache cache, Part[] parts, int draws, List<(TokenSequence Sequence, int Position)> prompts)
    {
        int total = parts.Sum(part => part.Count);
        var ids = new int[total];
        var positions = new int[total];
        var cacheRows = new int[total];
        var offsets = new int[parts.Length + 1];
        var last = new int[draws];
        List<int> between = [];
        int t = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            TokenSequence sequence = parts[i].Sequence;
            for (int end = sequence.Cached + parts[i].Count; sequence.Cached < end; sequence.Cached++, t++)
            {
                ids[t] = sequence.Tokens[sequence.Cached];
                positions[t] = sequence.Cached;
                cacheRows[t] = sequence.FirstRow + sequence.Cached;
                if (sequence.Cached < sequence.PromptLength - 1 && !sequence.IsReadAgain && sequence.Reader is { WantsPrompt: true })
                {
                    between.Add(t);
                    prompts.Add((sequence, sequence.Cached));
                }
            }

            offsets[i + 1] = t;
            if (i < draws)
                last[i] = t - 1;
        }

        cache.Place(
            cacheRows, [.. parts.Select(part => part.Sequence.FirstRow)], [.. parts.Select(part => part.Sequence.Cached)],
            [.. parts.Select(part => part.Sequence.Tokens.Count)]);
        return decoder.Logits(ids, positions, offsets, [.. last, .. between], cache);
    }

    private int[] Draw(Tensor logits, TokenSequence[] sequences)
    {
        IBackend backend = decoder.Backend;
        var uniforms = new float[sequences.Length];
        for (int i = 0; i < sequences.Length; i++)
        {
            TokenSequence sequence = sequences[i];
            if (sequence.Options.RepetitionPenalty != 1)
                Penalize(logits.RowRange(i, 1), sequence);

            (uint word, _, _, _) = Philox.Words(
                sequence.Options.Seed, (uint)sequence.Key, (uint)sequence.Tokens.Count, 0, RandomDomain.Generation);
            uniforms[i] = Philox.ToUniform(word);
        }

        Arena arena = decoder.Activations;
        Tensor uniform = arena.Take(sequences.Length, 1); // Float32 [n, 1]
        backend.Upload<float>(uniforms, uniform);
        Tensor ids = arena.Take(sequences.Length, 1, DType.Int32); // [n, 1]
        for (int first = 0, end; first < sequences.Length; first = end)
        {
            GenerationOptions options = sequences[first].Options;
            end = first + 1;
            while (end < sequences.Length && IsDrawnAlike(options, sequences[end].Options))
            {
                end++;
            }

            backend.Sample(
                logits.RowRange(first, end - first), (float)options.Temperature, options.TopK, (float)options.TopP,
                uniform.RowRange(first, end - first).Reshape(new Shape(end - first)),
                ids.RowRange(first, end - first).Reshape(new Shape(end - first)));
        }

        var drawn = new int[sequences.Length];
        backend.Download<int>(ids, drawn);
        return drawn;
    }

    private static bool IsDrawnAlike(GenerationOptions one, GenerationOptions other) =>
        (one.Temperature, one.TopK, one.TopP) == (other.Temperature, other.TopK, other.TopP);

    // Rare enough to be done on the host.
    private void Penalize(Tensor logits, TokenSequence sequence)
    {
        var penalty = (float)sequence.Options.RepetitionPenalty;
        var row = new float[logits.Columns];
        decoder.Backend.Download<float>(logits, row);
        foreach (int id in sequence.Tokens.Distinct())
        {
            row[id] = row[id] > 0 ? row[id] / penalty : row[id] * penalty;
        }

        decoder.Backend.Upload<float>(row, logits);
    }

    private float[] Download(Tensor logits, int row, int slot)
    {
        while (_kept.Count <= slot)
        {
            _kept.Add(new float[decoder.Config.VocabularySize]);
        }

        decoder.Backend.Download<float>(logits.RowRange(row, 1), _kept[slot]);
        return _kept[slot];
    }

    private readonly record struct Part(TokenSequence Sequence, int Count, bool Draws);
}
