using Forgetting.HuggingFace.Tokenizers;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>Greedy continuations of prompts up to a stop string, sorted by length and batched by tokens.</summary>
/// <param name="model">The model.</param>
/// <param name="encoder">Makes the prompts' ids.</param>
/// <param name="batchTokens">Most places in the key-value cache, unless one prompt needs more.</param>
internal sealed class TextCompleter(LoadedModel model, RequestEncoder encoder, int batchTokens)
{
    /// <summary>Completes prompts. A prompt that is too long loses tokens from the left.</summary>
    /// <param name="until">Strings that end a text; they and what is behind them are not part of it.</param>
    /// <param name="newTokens">Most tokens of a text.</param>
    /// <exception cref="UserException">So many new tokens leave no room for a prompt.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<string> Complete(
        IReadOnlyList<string> prompts, IReadOnlyList<string> until, int newTokens, ITrainingObserver? observer, CancellationToken cancellation)
    {
        int[][] ids = [.. prompts.Select(prompt => encoder.EncodePrompt(prompt, newTokens))];
        int[] order = [.. Enumerable.Range(0, ids.Length).OrderByDescending(i => ids[i].Length)];
        long total = ids.Sum(prompt => (long)prompt.Length + newTokens), done = 0;
        var texts = new string[ids.Length];
        var options = new GenerationOptions { MaxNewTokens = newTokens, StopIds = model.EndIds };
        var generator = new Generator(model.Decoder);
        for (int first = 0; first < order.Length;)
        {
            // The first prompt of a batch is its longest.
            int count = Math.Clamp(batchTokens / (ids[order[first]].Length + newTokens), 1, order.Length - first);
            int[] batch = order[first..(first + count)];
            StoppingDecoder[] decoders = [.. batch.Select(_ => new StoppingDecoder(model.Tokenizer.StartDecoding(), until))];
            generator.Generate([.. batch.Select(i => ids[i])], options, OnToken, batch, cancellation: cancellation);
            for (int i = 0; i < count; i++)
            {
                texts[batch[i]] += decoders[i].Finish();
            }

            first += count;
            done += batch.Sum(i => (long)ids[i].Length + newTokens);
            observer?.Progressed(done, total);

            bool OnToken(int i, int token)
            {
                texts[batch[i]] += decoders[i].Add(token);
                return !decoders[i].Stopped;
            }
        }

        return texts;
    }
}
