using System.Runtime.InteropServices;
using Forgetting.Core;

namespace Forgetting.Evaluation;

/// <summary>A stretch of an input, and what is predicted in it.</summary>
/// <param name="start">Place of its first token in the input.</param>
/// <param name="ids">Its tokens.</param>
/// <param name="heads">Pairs of a place and the token to predict behind it, ascending, each once.</param>
internal sealed class TokenSpan(int start, int[] ids, List<(int Place, int Target)> heads)
{
    public int Start => start;

    public int[] Ids => ids;

    public List<(int Place, int Target)> Heads => heads;

    /// <summary>Cross-entropy at each head.</summary>
    public float[] Losses { get; set; } = [];

    /// <summary>Most probable token at each head.</summary>
    public int[] Greedy { get; set; } = [];
}

/// <summary>
/// Requests with one context. Their inputs (everything but the last token, which is only predicted) begin alike; what they share is one
/// span, and each input that goes on has a tail. One-token continuations have no tails: their inputs are the context.
/// </summary>
internal sealed class SharedContext
{
    private readonly (int Request, List<(int Place, int Target)> Heads, TokenSpan? Tail)[] _requests;

    private SharedContext(IReadOnlyList<(int Request, int[] Ids, int[] Continuation)> members)
    {
        int[] first = members[0].Ids;
        int shared = members.Min(member => member.Ids.AsSpan().CommonPrefixLength(first));
        List<(int Place, int Target)>[] heads = [.. members.Select(member =>
            member.Continuation.Select((target, i) => (member.Ids.Length - member.Continuation.Length + i, target)).ToList())];
        Shared = new TokenSpan(0, first[..shared], Sorted(heads.SelectMany(of => of).Where(head => head.Place < shared)));

        // Inputs may be equal: several continuations that differ in the last token, or one request twice.
        var tails = new Dictionary<int[], TokenSpan>(SameIds.Instance);
        foreach (IGrouping<int[], int> same in Enumerable.Range(0, heads.Length).Where(i => members[i].Ids.Length > shared).GroupBy(
            i => members[i].Ids, SameIds.Instance))
        {
            tails[same.Key] =
                new TokenSpan(shared, same.Key[shared..], Sorted(same.SelectMany(i => heads[i]).Where(head => head.Place >= shared)));
        }

        Tails = [.. tails.Values];
        _requests = [.. members.Select((member, i) => (member.Request, heads[i], tails.GetValueOrDefault(member.Ids)))];
    }

    /// <summary>What all inputs begin with.</summary>
    public TokenSpan Shared { get; }

    /// <summary>How they go on.</summary>
    public IReadOnlyList<TokenSpan> Tails { get; }

    /// <summary>Whether there is more than one input, so that keys and values of what is shared must be kept.</summary>
    public bool HasTails => Tails.Count > 0;

    /// <summary>Tokens of the longest input.</summary>
    public int Length => Shared.Ids.Length + LongestTail;

    /// <summary>Most tokens that are computed at once.</summary>
    public int MaxTokens => Math.Max(Shared.Ids.Length, LongestTail);

    /// <summary>Tokens that are computed.</summary>
    public int Tokens => Shared.Ids.Length + Tails.Sum(tail => tail.Ids.Length);

    /// <summary>First row in the key-value cache.</summary>
    public int FirstRow { get; set; }

    /// <summary>Indices of the requests.</summary>
    public IEnumerable<int> Requests => _requests.Select(request => request.Request);

    /// <summary>Index of the first request, for errors.</summary>
    public int FirstRequest => _requests[0].Request;

    private int LongestTail => Tails.Select(tail => tail.Ids.Length).DefaultIfEmpty(0).Max();

    /// <summary>
    /// Brings requests of the same context together. An input that had to be cut has lost part of its context and is by itself.
    /// </summary>
    /// <param name="most">The model's context length.</param>
    /// <param name="turnsOtherwiseFrom">Inputs of more tokens have no keys in common with shorter ones.</param>
    /// <exception cref="UserException">A continuation is longer than that.</exception>
    public static IReadOnlyList<SharedContext> Group(
        IReadOnlyList<LogLikelihoodRequest> requests, int most, int turnsOtherwiseFrom)
    {
        var groups = new OrderedDictionary<int[], List<(int, int[], int[])>>(SameIds.Instance);
        for (int i = 0; i < requests.Count; i++)
        {
            (int[] context, int[] continuation) = requests[i];
            if (context.Length == 0 || continuation.Length == 0)
            {
                throw new ArgumentException(
                    $"request {i} has {context.Length} tokens before {continuation.Length}; both need at least one");
            }

            if (continuation.Length > most)
            {
                throw new UserException(
                    $"request {i}: a continuation of {continuation.Length} tokens, expected at most the context length {most}");
            }

            int[] ids = [.. context, .. continuation.AsSpan(0, continuation.Length - 1)];
            int[] kept = ids[Math.Max(0, ids.Length - most)..];
            int[] key = kept.Length == ids.Length ? context : kept;
            if (kept.Length > turnsOtherwiseFrom)
                key = [.. key, -1]; // no token's id

            if (!groups.TryGetValue(key, out List<(int, int[], int[])>? members))
                groups.Add(key, members = []);

            members.Add((i, kept, continuation));
        }

        return [.. groups.Values.Select(members => new SharedContext(members))];
    }

    /// <summary>Writes the requests' answers, once all spans are computed.</summary>
    /// <exception cref="UserException">A log-probability is not finite.</exception>
    public void Answer(LogLikelihood[] results)
    {
        foreach ((int request, List<(int Place, int Target)> heads, TokenSpan? tail) in _requests)
        {
            double sum = 0;
            int greedySuffix = 0, greedy = 0;
            foreach ((int Place, int Target) head in heads)
            {
                TokenSpan span = head.Place < Shared.Ids.Length ? Shared : tail!;
                int at = span.Heads.BinarySearch(head);
                sum -= span.Losses[at];
                bool likeliest = span.Greedy[at] == head.Target;
                greedySuffix = likeliest ? greedySuffix + 1 : 0;
                greedy += likeliest ? 1 : 0;
            }

            results[request] = double.IsFinite(sum)
                ? new LogLikelihood(sum, heads.Count, greedySuffix, greedy)
                : throw new UserException(
                    $"the log-probability of request {request} is {sum}, expected a finite number; are the model's weights sound?");
        }
    }

    private static List<(int Place, int Target)> Sorted(IEnumerable<(int Place, int Target)> heads) => [.. heads.Distinct().Order()];

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
