namespace Forgetting.Distributed;

/// <summary>
/// The first of several ranks of which the others are only counted, where memory is planned: what is asked for is what a rank asks for, and
/// of the others nothing comes.
/// </summary>
/// <param name="size">Number of ranks.</param>
internal sealed class RehearsedRanks(int size) : ICommunicator
{
    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public int Size => size;

    /// <inheritdoc/>
    public void AllReduce(Span<float> values)
    {
    }

    /// <inheritdoc/>
    public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own) => values[..own.Length].CopyTo(own);

    /// <inheritdoc/>
    public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => own.CopyTo(all);

    /// <inheritdoc/>
    public byte[][] Gather(ReadOnlySpan<byte> own) => [own.ToArray(), .. Enumerable.Repeat<byte[]>([], size - 1)];

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
