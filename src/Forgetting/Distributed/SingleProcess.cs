namespace Forgetting.Distributed;

/// <summary>The only rank of a run.</summary>
internal sealed class SingleProcess : ICommunicator
{
    private SingleProcess()
    {
    }

    /// <summary>The one there is; it has nothing to dispose of.</summary>
    public static SingleProcess Instance { get; } = new();

    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public int Size => 1;

    /// <inheritdoc/>
    public void AllReduce(Span<float> values)
    {
    }

    /// <inheritdoc/>
    public void ReduceScatter(ReadOnlySpan<float> values, Span<float> own) => values.CopyTo(own);

    /// <inheritdoc/>
    public void AllGather(ReadOnlySpan<byte> own, Span<byte> all) => own.CopyTo(all);

    /// <inheritdoc/>
    public byte[][] Gather(ReadOnlySpan<byte> own) => [own.ToArray()];

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
