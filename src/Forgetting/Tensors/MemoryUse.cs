namespace Forgetting.Tensors;

/// <summary>What a backend has handed out. Safe to use from several threads.</summary>
internal sealed class MemoryUse
{
    private long _allocated;
    private long _peak;

    /// <summary>Bytes handed out and not yet given back.</summary>
    public long Allocated => Volatile.Read(ref _allocated);

    /// <summary>Most bytes handed out at any time since the last <see cref="ResetPeak"/>.</summary>
    public long Peak => Volatile.Read(ref _peak);

    /// <summary>Lets the peak begin anew with what is handed out now.</summary>
    public void ResetPeak() => Volatile.Write(ref _peak, Allocated);

    /// <summary>Counts bytes that are handed out.</summary>
    public void Add(long bytes)
    {
        long now = Interlocked.Add(ref _allocated, bytes), peak;
        while (now > (peak = Volatile.Read(ref _peak)) && Interlocked.CompareExchange(ref _peak, now, peak) != peak)
        {
        }
    }

    /// <summary>Counts bytes that come back.</summary>
    public void Remove(long bytes) => Interlocked.Add(ref _allocated, -bytes);
}
