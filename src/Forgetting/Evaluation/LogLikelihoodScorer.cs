using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>
/// Log-probabilities of continuations. What continuations of one context have in common is computed once: its keys and values stay in a
/// cache while one continuation after the other is read behind it. Contexts are sorted by length and batched by tokens; what a request gets
/// depends on the requests of the same context, and not on the batch.
/// </summary>
/// <param name="decoder">The model.</param>
/// <param name="batchTokens">Tokens computed at once; a longer context or continuation is a batch by itself.</param>
/// <param name="ranks">Share the batches; null for this process alone.</param>
internal sealed class LogLikelihoodScorer(Decoder decoder, int batchTokens, ICommunicator? ranks = null)
{
    private readonly ICommunicator _ranks = ranks ?? SingleProcess.Instance;

    /// <summary>
    /// Scores requests. An input longer than the model's context loses tokens from the left, as in lm-evaluation-harness.
    /// </summary>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the scoring after the batch in progress.</param>
    /// <returns>The answers in the order of the requests.</returns>
    /// <exception cref="UserException">A continuation by itself is longer than the context, or a log-probability is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<LogLikelihood> Score(
        IReadOnlyList<LogLikelihoodRequest> requests, ITrainingObserver? observer = null, CancellationToken cancellation = default) =>
        Score(requests, log: null, observer, cancellation);

    /// <summary>
    /// As <see cref="Score(IReadOnlyList{LogLikelihoodRequest}, ITrainingObserver?, CancellationToken)"/>; what
    /// the log, which the first rank alone has, knows is not computed again.
    /// </summary>
    internal IReadOnlyList<LogLikelihood> Score(
        IReadOnlyList<LogLikelihoodRequest> requests, AnswerLog<LogLikelihood>? log, ITrainingObserver? observer,
        CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(requests);
        var results = new LogLikelihood[requests.Count];
        IReadOnlyList<SharedContext> contexts = SharedContext.Group(
            requests, decoder.Config.ContextLength, decoder.Config.TurnsOtherwiseFrom);
        if (_ranks.FromFirst(() => log?.Known ?? []) is { Count: > 0 } known)
        {
            contexts = [.. contexts.Where(context => !context.Requests.All(known.ContainsKey))];
            foreach ((int index, LogLikelihood answer) in known)
            {
                results[index] = answer;
            }
        }

        try
        {
            Score(contexts, results, log, observer, cancellation);
        }
        finally
        {
            log?.Flush();
        }

        return results;
    }

    private void Score(
        IReadOnlyList<SharedContext> contexts, LogLikelihood[] results, AnswerLog<LogLikelihood>? log, ITrainingObserver? observer,
        CancellationToken cancellation)
    {
        List<SharedContext[]> batches =
            [.. Batches(contexts.Where(context => !context.HasTails)), .. Batches(contexts.Where(context => context.HasTails))];
        long total = contexts.Sum(context => (long)context.Tokens), done = 0;
        int cached =
            batches.Where(batch => batch[0].HasTails).Select(batch => batch.Sum(context => context.Length)).DefaultIfEmpty(0).Max();
        using KeyValueCache? cache = cached == 0 ? null : new KeyValueCache(decoder.Config, decoder.Backend, cached);
        SharedWork.Run(_ranks, batches, Answers, Take, cancellation);

        Answer<LogLikelihood>[] Answers(SharedContext[] batch)
        {
            Compute(batch, batch[0].HasTails ? cache : null);
            foreach (SharedContext context in batch)
            {
                context.Answer(results);
            }

            return
            [
                .. batch.SelectMany(context => context.Requests).Select(request => new Answer<LogLikelihood>(request, results[request])),
            ];
        }

        void Take(SharedContext[] batch, Answer<LogLikelihood>[] answers)
        {
            foreach (Answer<LogLikelihood> answer in answers)
            {
                results[answer.Index] = answer.Value;
            }

            log?.Add(answers);
            observer?.Progressed(done += batch.Sum(context => (long)context.Tokens), total);
        }
    }

    // The longest first, so that memory grows at once or not at all.
    private IEnumerable<SharedContext[]> Batches(IEnumerable<SharedContext> contexts)
    {
        List<SharedContext> batch = [];
        int tokens = 0;
        foreach (SharedContext context in contexts.OrderByDescending(context => context.MaxTokens))
        {
            if (batch.Count > 0 && tokens + context.MaxTokens > batchTokens)
            {
                yield return [.. batch];
                batch.Clear();
                tokens = 0;
            }

            batch.Add(context);
            tokens += context.MaxTokens;
        }

        if (batch.Count > 0)
            yield return [.. batch];
    }

    // First what is shared, then the first continuation of each context, the second, …, each written over the one before in the cache.
    private void Compute(SharedContext[] contexts, KeyValueCache? cache)
    {
        int row = 0;
        foreach (SharedContext context in contexts)
        {
            context.FirstRow = row;
            row += context.Length;
        }

        Compute([.. contexts.Select(context => (context, context.Shared))], cache);
        for (int i = 0; i < contexts.Max(context => context.Tails.Count); i++)
        {
            Compute([.. contexts.Where(context => context.Tails.Count > i).Select(context => (context, context.Tails[i]))], cache);
        }
    }

    private void Compute((SharedContext Context, TokenSpan Span)[] spans, KeyValueCache? cache)
    {
        TokenBatch batch = Batch(spans);
        if (cache is not null)
        {
            int[] starts = [.. spans.Select(pair => pair.Context.FirstRow)];
            cache.Place(
                [.. spans.SelectMany(pair => Enumerable.Range(pair.Context.FirstRow + pair.Span.Start, pair.Span.Ids.Length))], starts,
                [.. spans.Select(pair => pair.Span.Start + pair.Span.Ids.Length)], [.. spans.Select(pair => pair.Context.Length)]);
        }

        var losses = new float[batch.HeadRows.Length];
        var greedy = new int[losses.Length];
        decoder.Forward(batch, losses, greedy, cache);
        for (int i = 0; i < spans.Length; i++)
        {
            Range heads = batch.HeadOffsets[i]..batch.HeadOffsets[i + 1];
            (spans[i].Span.Losses, spans[i].Span.Greedy) = (losses[heads], greedy[heads]);
        }
    }

    private static TokenBatch Batch((SharedContext Context, TokenSpan Span)[] spans)
    {
        int tokens = spans.Sum(pair => pair.Span.Ids.Length), heads = spans.Sum(pair => pair.Span.Heads.Count);
        TokenBatch batch = new()
        {
            Ids = new int[tokens],
            Positions = new int[tokens],
            Offsets = new int[spans.Length + 1],
            Examples = [.. spans.Select(pair => pair.Context.FirstRequest)],
            RowKeys = new int[tokens],
            HeadRows = new int[heads],
            HeadOffsets = new int[spans.Length + 1],
            Targets = new int[heads],
            Weights = new float[heads],
        };
        int row = 0, head = 0;
        for (int i = 0; i < spans.Length; i++)
        {
            TokenSpan span = spans[i].Span;
            foreach ((int place, int target) in span.Heads)
            {
                batch.HeadRows[head] = row + place - span.Start;
                batch.Targets[head++] = target;
            }

            span.Ids.CopyTo(batch.Ids, row);
            for (int j = 0; j < span.Ids.Length; j++)
            {
                batch.Positions[row + j] = span.Start + j;
            }

            row += span.Ids.Length;
            batch.Offsets[i + 1] = row;
            batch.HeadOffsets[i + 1] = head;
        }

        return batch;
    }
}
