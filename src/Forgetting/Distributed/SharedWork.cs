using System.Text.Json;
using System.Text.Json.Serialization;

namespace Forgetting.Distributed;

/// <summary>
/// Pieces of work that ranks share, such as the batches of a data set: each is done by one rank, and all get every result.
/// </summary>
internal static class SharedWork
{
    // What JSON writes of a number it reads again to the bit.
    private static readonly JsonSerializerOptions s_json =
        new() { IncludeFields = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>
    /// Does each piece on one rank and hands its result to all, in the order of the pieces. As many neighbours as there are ranks are done
    /// at once, and their results are here before the next begin: where neighbours are of a size no rank waits for long, and what was done
    /// can be kept as it comes.
    /// </summary>
    /// <param name="ranks">The ranks; all have the same pieces.</param>
    /// <param name="pieces">Pieces, which do not depend on each other.</param>
    /// <param name="compute">Does a piece; the result goes through JSON where there are several ranks.</param>
    /// <param name="take">Takes a result, on every rank.</param>
    /// <param name="cancellation">Ends the work between pieces, on all ranks at once.</param>
    /// <exception cref="OperationCanceledException">It was cancelled, on whatever rank.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static void Run<TPiece, TResult>(
        ICommunicator ranks, IEnumerable<TPiece> pieces, Func<TPiece, TResult> compute, Action<TPiece, TResult> take,
        CancellationToken cancellation)
    {
        // Of ranks that are only counted each piece may be this one's.
        bool alone = ranks.Size == 1 || ranks is RehearsedRanks;
        foreach (TPiece[] round in pieces.Chunk(alone ? 1 : ranks.Size))
        {
            if (alone)
            {
                cancellation.ThrowIfCancellationRequested();
                take(round[0], compute(round[0]));
                continue;
            }

            Part<TResult>[] parts = ranks.Gather(ranks.Rank < round.Length ? Own(round[ranks.Rank]) : new(IsCancelled: false, default));
            if (parts.Any(part => part.IsCancelled))
                throw new OperationCanceledException(cancellation);

            foreach ((TPiece piece, Part<TResult> part) in round.Zip(parts))
            {
                take(piece, part.Result!);
            }
        }

        Part<TResult> Own(TPiece piece)
        {
            try
            {
                cancellation.ThrowIfCancellationRequested();
                return new(IsCancelled: false, compute(piece));
            }
            catch (OperationCanceledException)
            {
                return new(IsCancelled: true, default);
            }
        }
    }

    /// <summary>The values of all ranks, in the order of ranks.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static T[] Gather<T>(this ICommunicator ranks, T own) =>
        ranks.Size == 1 ? [own] : [.. ranks.Gather((ReadOnlySpan<byte>)JsonSerializer.SerializeToUtf8Bytes(own, s_json))
            .Select(bytes => JsonSerializer.Deserialize<T>(bytes, s_json)!)];

    /// <summary>What the first rank has; that of the others is not looked at.</summary>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public static T FromFirst<T>(this ICommunicator ranks, Func<T> first)
    {
        if (ranks.Size == 1)
            return first();

        byte[] own = ranks.IsFirst() ? JsonSerializer.SerializeToUtf8Bytes(first(), s_json) : [];
        return JsonSerializer.Deserialize<T>(ranks.Broadcast(own), s_json)!;
    }

    private readonly record struct Part<T>(bool IsCancelled, T? Result);
}
