using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Text.Tokenizers;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>Continuations of prompts up to a stop string, sorted by length and batched by tokens.</summary>
/// <param name="decoder">The model.</param>
/// <param name="tokenizer">Its tokenizer.</param>
/// <param name="batchTokens">Most places in the key-value cache, unless one prompt needs more.</param>
/// <param name="ranks">Share the batches; null for this process alone.</param>
internal sealed class TextCompleter(Decoder decoder, Tokenizer tokenizer, int batchTokens, ICommunicator? ranks = null)
{
    private readonly ICommunicator _ranks = ranks ?? SingleProcess.Instance;

    /// <summary>Completes prompts.</summary>
    /// <param name="prompts">Token ids, with room for the new ones in the context.</param>
    /// <param name="until">Strings that end a text; they and what is behind them are not part of it.</param>
    /// <param name="options">How tokens are drawn; a prompt's index is the key of its random numbers.</param>
    /// <param name="log">What it knows is not computed again; the first rank alone has it.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<string> Complete(
        IReadOnlyList<int[]> prompts, IReadOnlyList<string> until, GenerationOptions options, AnswerLog<string>? log = null,
        ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        int newTokens = options.MaxNewTokens;
        var texts = new string[prompts.Count];
        Dictionary<int, string> known = _ranks.FromFirst(() => log?.Known ?? []);
        foreach ((int index, string text) in known)
        {
            texts[index] = text;
        }

        int[] order =
            [.. Enumerable.Range(0, texts.Length).Where(i => !known.ContainsKey(i)).OrderByDescending(i => prompts[i].Length)];
        long total = order.Sum(i => (long)prompts[i].Length + newTokens), done = 0;
        try
        {
            SharedWork.Run(_ranks, Batches(), batch => Complete(batch, prompts, until, options, cancellation), (batch, completed) =>
            {
                foreach ((int prompt, string text) in batch.Zip(completed))
                {
                    texts[prompt] = text;
                }

                log?.Add(batch.Select(i => new Answer<string>(i, texts[i])));
                observer?.Progressed(done += batch.Sum(i => (long)prompts[i].Length + newTokens), total);
            }, cancellation);
        }
        finally
        {
            log?.Flush();
        }

        return texts;

        // The first prompt of a batch is its longest.
        IEnumerable<int[]> Batches()
        {
            for (int first = 0, count; first < order.Length; first += count)
            {
                count = Math.Clamp(batchTokens / (prompts[order[first]].Length + newTokens), 1, order.Length - first);
                yield return order[first..(first + count)];
            }
        }
    }

    private string[] Complete(
        int[] batch, IReadOnlyList<int[]> prompts, IReadOnlyList<string> until, GenerationOptions options, CancellationToken cancellation)
    {
        StoppingDecoder[] decoders = [.. batch.Select(_ => new StoppingDecoder(tokenizer.StartDecoding(), until))];
        System.Text.StringBuilder[] parts = [.. batch.Select(_ => new System.Text.StringBuilder())];

        new Generator(decoder).Generate([.. batch.Select(i => prompts[i])], options, OnToken, batch, cancellation: cancellation);
        return [.. parts.Zip(decoders, (part, streamed) => part.Append(streamed.Finish()).ToString())];

        bool OnToken(int i, int token)
        {
            parts[i].Append(decoders[i].Add(token));
            return !decoders[i].Stopped;
        }
    }
}
