using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forgetting.Data;
using Forgetting.Distributed;

namespace Forgetting.Training;

/// <summary>
/// The ranks of a run share the micro-batches of its steps. Every rank has all examples and builds all micro-batches, so that numbers of
/// tokens need no communication; it computes its own of them, and the losses are put together in the order of micro-batches.
/// </summary>
internal sealed class StepShare(ICommunicator communicator)
{
    private int[] _owners = [];

    /// <summary>Whether there are other ranks.</summary>
    public bool IsShared => communicator.Size > 1;

    /// <summary>
    /// Most tokens of a micro-batch of a step: no more than leave every rank one, except where the objective depends on how steps are cut.
    /// </summary>
    /// <param name="options">The settings.</param>
    /// <param name="tokens">Tokens of the step.</param>
    /// <param name="ranks">Number of ranks.</param>
    public static int MostTokens(TrainingOptions options, long tokens, int ranks) =>
        ranks == 1 || options.Compat == Compatibility.Paper
            ? options.PassTokens
            : (int)Math.Clamp((tokens + ranks - 1) / ranks, 1, options.PassTokens);

    /// <summary>Most tokens of a micro-batch of a step of so many tokens.</summary>
    public int MostTokens(TrainingOptions options, long tokens) => MostTokens(options, tokens, communicator.Size);

    /// <summary>The rank of each micro-batch: the largest first, each to the rank that has the fewest tokens so far.</summary>
    /// <param name="tokens">Tokens of each micro-batch.</param>
    /// <param name="ranks">Number of ranks.</param>
    public static int[] Owners(IReadOnlyList<int> tokens, int ranks)
    {
        var owners = new int[tokens.Count];
        var load = new long[ranks];
        foreach (int batch in Enumerable.Range(0, tokens.Count).OrderByDescending(i => tokens[i]))
        {
            int rank = Array.IndexOf(load, load.Min());
            owners[batch] = rank;
            load[rank] += tokens[batch];
        }

        return owners;
    }

    /// <summary>Divides the micro-batches of a step.</summary>
    /// <param name="tokens">Tokens of each.</param>
    public void Divide(IReadOnlyList<int> tokens) => _owners = Owners(tokens, communicator.Size);

    /// <summary>Most micro-batches that a rank computes.</summary>
    public int MostOfRank => _owners.Length == 0 ? 0 : _owners.CountBy(owner => owner).Max(count => count.Value);

    /// <summary>Whether this rank computes a micro-batch.</summary>
    public bool IsOwn(int batch) => _owners[batch] == communicator.Rank;

    /// <summary>Fills in what other ranks computed.</summary>
    /// <param name="results">Numbers of each micro-batch, those of one's own filled in.</param>
    /// <param name="value">A number of which the sum over ranks is wanted.</param>
    /// <param name="failure">Number of the micro-batch of one's own that has a loss which is not finite, and what is to be said of it; or
    /// null.</param>
    /// <returns>The sum.</returns>
    /// <exception cref="NonFiniteException">A rank has a failure: that of the first micro-batch, the same on all ranks.</exception>
    /// <exception cref="PeerException">Another rank has failed, or is lost.</exception>
    public double Gather(IReadOnlyList<float[][]> results, double value, (int Batch, string What)? failure)
    {
        if (!IsShared)
            return failure is { } own ? throw new NonFiniteException(own.What) : value;

        byte[][] all = communicator.Gather(Message(results, value, failure));
        double sum = 0;
        (int Batch, string What)? first = null;
        for (int rank = 0; rank < all.Length; rank++)
        {
            ReadOnlySpan<byte> message = all[rank];
            if (message.IsEmpty)
                continue; // of a rank that is only counted (RehearsedRanks)

            sum += BinaryPrimitives.ReadDoubleLittleEndian(message);
            int batch = BinaryPrimitives.ReadInt32LittleEndian(message[8..]);
            int length = BinaryPrimitives.ReadInt32LittleEndian(message[12..]);
            if (length > 0)
            {
                if (first is null || batch < first.Value.Batch)
                    first = (batch, System.Text.Encoding.UTF8.GetString(message.Slice(16, length)));

                continue;
            }

            ReadOnlySpan<float> numbers = MemoryMarshal.Cast<byte, float>(message[16..]);
            for (int i = 0; i < results.Count; i++)
            {
                foreach (float[] part in _owners[i] == rank ? results[i] : [])
                {
                    numbers[..part.Length].CopyTo(part);
                    numbers = numbers[part.Length..];
                }
            }
        }

        return first is { } found ? throw new NonFiniteException(found.What) : sum;
    }

    private byte[] Message(IReadOnlyList<float[][]> results, double value, (int Batch, string What)? failure)
    {
        var message = new List<byte>();
        byte[] what = System.Text.Encoding.UTF8.GetBytes(failure?.What ?? "");
        Span<byte> head = stackalloc byte[16];
        BinaryPrimitives.WriteDoubleLittleEndian(head, value);
        BinaryPrimitives.WriteInt32LittleEndian(head[8..], failure?.Batch ?? 0);
        BinaryPrimitives.WriteInt32LittleEndian(head[12..], what.Length);
        message.AddRange(head);
        message.AddRange(what);
        for (int i = 0; i < results.Count && failure is null; i++)
        {
            foreach (float[] part in IsOwn(i) ? results[i] : [])
            {
                message.AddRange(MemoryMarshal.AsBytes(part.AsSpan()));
            }
        }

        return [.. message];
    }
}
