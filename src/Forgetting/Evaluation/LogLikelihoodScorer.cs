using System.Runtime.InteropServices;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Evaluation;

/// <summary>
/// Log-probabilities of continuations. Requests whose inputs are the same (a context with several one-token continuations, or one request twice) are computed
/// once; inputs are sorted by length and batched by tokens. What a request gets does not depend on its company.
/// </summary>
/// <param name="decoder">The model.</param>
/// <param name="batchTokens">Tokens computed at once; a longer input is a batch by itself.</param>
public sealed class LogLikelihoodScorer(Decoder decoder, int batchTokens)
{
    /// <summary>Scores requests. An input longer than the model's context loses tokens from the left, as in lm-evaluation-harness.</summary>
    /// <param name="observer">Is told of tokens done.</param>
    /// <param name="cancellation">Ends the scoring after the batch in progress.</param>
    /// <returns>The answers in the order of the requests.</returns>
    /// <exception cref="UserException">A continuation by itself is longer than the context, or a log-probability is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public IReadOnlyList<LogLikelihood> Score(
        IReadOnlyList<LogLikelihoodRequest> requests, ITrainingObserver? observer = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(requests);

        // The longest first, so that memory grows at once or not at all.
        Input[] inputs = [.. Distinct(requests).OrderByDescending(input => input.Ids.Length)];
        long total = inputs.Sum(input => (long)input.Ids.Length), done = 0;
        var results = new LogLikelihood[requests.Count];
        for (int first = 0; first < inputs.Length;)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = first, tokens = 0;
            do
            {
                tokens += inputs[end++].Ids.Length;
            }
            while (end < inputs.Length && tokens + inputs[end].Ids.Length <= batchTokens);

            ScoreBatch(inputs.AsSpan(first, end - first), tokens, results);
            first = end;
            done += tokens;
            observer?.Progressed(done, total);
        }

        return results;
    }

    private void ScoreBatch(ReadOnlySpan<Input> inputs, int tokens, LogLikelihood[] results)
    {
        int heads = 0;
        foreach (Input input in inputs)
        {
            heads += input.Heads.Count;
        }

        TokenBatch batch = Batch(inputs, tokens, heads);
        var losses = new float[heads];
        var greedy = new int[heads];
        decoder.Forward(batch, losses, greedy);
        for (int i = 0; i < inputs.Length; i++)
        {
            int first = batch.HeadOffsets[i];
            foreach ((int request, int[] places) in inputs[i].Requests)
            {
                double sum = 0;
                bool isGreedy = true;
                foreach (int place in places)
                {
                    sum -= losses[first + place];
                    isGreedy &= greedy[first + place] == batch.Targets[first + place];
                }

                results[request] = double.IsFinite(sum)
                    ? new LogLikelihood(sum, isGreedy)
                    : throw new UserException($"the log-probability of request {request} is {sum}, expected a finite number; are the model's weights sound?");
            }
        }
    }

    private static TokenBatch Batch(ReadOnlySpan<Input> inputs, int tokens, int heads)
    {
        TokenBatch batch = new()
        {
            Ids = new int[tokens],
            Positions = new int[tokens],
            Offsets = new int[inputs.Length + 1],
            Examples = new int[inputs.Length],
            RowKeys = new int[tokens],
            HeadRows = new int[heads],
            HeadOffsets = new int[inputs.Length + 1],
            Targets = new int[heads],
            Weights = new float[heads],
        };
        int row = 0, head = 0;
        for (int i = 0; i < inputs.Length; i++)
        {
            batch.Examples[i] = inputs[i].Requests[0].Request;
            foreach ((int place, int target) in inputs[i].Heads)
            {
                batch.HeadRows[head] = row + place;
                batch.Targets[head++] = target;
            }

            inputs[i].Ids.CopyTo(batch.Ids, row);
            for (int position = 0; position < inputs[i].Ids.Length; position++)
            {
                batch.Positions[row + position] = position;
            }

            row += inputs[i].Ids.Length;
            batch.Offsets[i + 1] = row;
            batch.HeadOffsets[i + 1] = head;
        }

        return batch;
    }

    private IEnumerable<Input> Distinct(IReadOnlyList<LogLikelihoodRequest> requests)
    {
        var inputs = new Dictionary<int[], List<int>>(SameIds.Instance);
        List<int[]> order = [];
        for (int i = 0; i < requests.Count; i++)
        {
            int[] ids = InputIds(requests[i], i);
            if (!inputs.TryGetValue(ids, out List<int>? sharing))
            {
                inputs[ids] = sharing = [];
                order.Add(ids);
            }

            sharing.Add(i);
        }

        return order.Select(ids => new Input(ids, inputs[ids], requests));
    }

    // Everything but the last token, which is only predicted.
    private int[] InputIds(LogLikelihoodRequest request, int index)
    {
        (int[] context, int[] continuation) = request;
        if (context.Length == 0 || continuation.Length == 0)
            throw new ArgumentException($"request {index} has {context.Length} tokens before {continuation.Length}; both need at least one");

        int most = decoder.Config.ContextLength;
        if (continuation.Length > most)
            throw new UserException($"request {index}: a continuation of {continuation.Length} tokens, expected at most the context length {most}");

        int[] ids = [.. context, .. continuation.AsSpan(0, continuation.Length - 1)];
        return ids[Math.Max(0, ids.Length - most)..];
    }

    /// <summary>One row of tokens with what is predicted at it: pairs of (place in the row, target), each only once, ascending.</summary>
    private sealed class Input
    {
        public Input(int[] ids, List<int> sharing, IReadOnlyList<LogLikelihoodRequest> requests)
        {
            Ids = ids;
            var wanted = new SortedSet<(int Place, int Target)>();
            foreach (int request in sharing)
            {
                wanted.UnionWith(Targets(requests[request].Continuation));
            }

            Heads = [.. wanted];
            Requests = [.. sharing.Select(request => (request, Targets(requests[request].Continuation).Select(pair => Heads.BinarySearch(pair)).ToArray()))];
        }

        public int[] Ids { get; }

        public List<(int Place, int Target)> Heads { get; }

        public (int Request, int[] Heads)[] Requests { get; }

        private IEnumerable<(int Place, int Target)> Targets(int[] continuation) =>
            continuation.Select((target, i) => (Ids.Length - continuation.Length + i, target));
    }

    private sealed class SameIds : IEqualityComparer<int[]>
    {
        public static readonly SameIds Instance = new();

        public bool Equals(int[]? x, int[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(int[] ids)
        {
            HashCode hash = default;
            hash.AddBytes(MemoryMarshal.AsBytes<int>(ids));
            return hash.ToHashCode();
        }
    }
}
