
namespace Forgetting.Backends.Cuda;

/// <summary>
/// Graphs of the sequences of launches that came last. The first time a sequence is launched as it is, which loads its
/// kernels and lets memory grow to what it takes; the second time it is recorded, and from then on it costs one launch.
/// Sequences that never come again cost nothing. One that driver or cuBLAS will not record is launched as it is every time.
/// </summary>
internal sealed class GraphCache(CudaDevice device) : IDisposable
{
    // Batches of a few shapes in turn are all kept; of many shapes none comes back before it is forgotten, and none is recorded in vain.
    private const int Most = 64;

    private readonly Dictionary<object, Sequence> _sequences = [];
    private long _time;

    /// <summary>Graphs held.</summary>
    public int Count => _sequences.Values.Count(sequence => sequence.Graph is not null);

    /// <summary>Graphs recorded so far.</summary>
    public int Recorded { get; private set; }

    /// <summary>Whether launches are being recorded.</summary>
    public bool Recording { get; private set; }

    /// <summary>Gets a line the first time that something could not be recorded.</summary>
    public Action<string>? Notice { get; set; }

    /// <summary>Does <paramref name="operations"/> or launches what they did under an equal key before.</summary>
    public void Run<TState>(object key, TState state, Action<TState> operations)
    {
        if (_sequences.TryGetValue(key, out Sequence? sequence))
        {
            if (sequence.Graph is null && !sequence.Refused)
                Record(sequence, () => operations(state));

            if (sequence.Graph is { } graph)
                device.Launch(graph);
            else
                operations(state);
        }
        else
        {
            operations(state);
            Forget(_sequences.Count - Most + 1);
            _sequences.Add(key, sequence = new Sequence());
        }

        sequence.LastUse = _time++;
    }

    /// <summary>Destroys all graphs: they hold addresses, and some memory is given back.</summary>
    public void Clear()
    {
        foreach (Sequence sequence in _sequences.Values)
        {
            Destroy(sequence);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Forget(_sequences.Count);

    private void Record(Sequence sequence, Action operations)
    {
        Recording = true;
        try
        {
            sequence.Graph = device.Record(operations);
            Recorded++;
        }
        catch (Exception error) when (error is CudaException or CudaBlasException)
        {
            sequence.Refused = true;
            Notice?.Invoke($"launching kernels one by one, since they could not be recorded as a CUDA graph: {error.Message}");
            Notice = null;
        }
        finally
        {
            Recording = false;
        }
    }

    private void Forget(int count)
    {
        for (; count > 0; count--)
        {
            object oldest = _sequences.MinBy(entry => entry.Value.LastUse).Key;
            _sequences.Remove(oldest, out Sequence? sequence);
            Destroy(sequence!);
        }
    }

    private void Destroy(Sequence sequence)
    {
        if (sequence.Graph is { } graph)
        {
            device.Destroy(graph);
            sequence.Graph = null;
        }
    }

    private sealed class Sequence
    {
        public CUgraphExec? Graph { get; set; }

        public bool Refused { get; set; }

        public long LastUse { get; set; }
    }
}
