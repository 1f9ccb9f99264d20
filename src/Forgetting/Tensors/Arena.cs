using Forgetting.IO;

namespace Forgetting.Tensors;

/// <summary>
/// Memory for what lives no longer than a step: taking is an addition, and <see cref="Reset"/> gives everything back at once.
/// An arena grows by whole blocks while shapes are new and is one block of just the peak's size from the reset after;
/// from then on nothing is allocated.
/// </summary>
internal sealed class Arena : IDisposable
{
    // Device allocators align to 256 bytes; vector loads and cuBLAS rely on it.
    private const long Alignment = 256;
    private const long SmallestBlock = 1 << 20;

    // A further block's share of what is held: small, since what a first pass asks for too much counts in its peak.
    private const int GrowthShare = 16;

    private readonly IMemory _memory;
    private readonly List<DeviceBuffer> _blocks = [];
    private readonly List<long> _used = [];
    private int _current = -1;
    private long _inUse;

    /// <summary>An empty arena on <paramref name="memory"/>.</summary>
    public Arena(IMemory memory) => _memory = memory;

    /// <summary>Most bytes in use at any time since construction.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Bytes held from the memory.</summary>
    public long ReservedBytes => _blocks.Sum(b => b.Bytes);

    /// <summary>
    /// A tensor with undefined contents, valid until a <see cref="Release"/> of an earlier mark or a <see cref="Reset"/>.
    /// </summary>
    public Tensor Take(Shape shape, DType dtype = DType.Float32)
    {
        long bytes = (Math.Max(shape.Count * dtype.Size(), 1) + Alignment - 1) / Alignment * Alignment;
        while (_current < 0 || _used[_current] + bytes > _blocks[_current].Bytes)
        {
            if (_current + 1 == _blocks.Count)
            {
                long held = _blocks.Sum(b => b.Bytes);
                _blocks.Add(_memory.Allocate(Math.Max(bytes, Math.Max(SmallestBlock, held / GrowthShare))));
                _used.Add(0);
            }

            _current++;
            _used[_current] = 0;
        }

        var tensor = new Tensor(_blocks[_current].Pointer + (nint)_used[_current], shape, dtype);
        _used[_current] += bytes;
        _inUse += bytes;
        PeakBytes = Math.Max(PeakBytes, _inUse);
        return tensor;
    }

    /// <summary>A matrix of <paramref name="rows"/> × <paramref name="columns"/>.</summary>
    public Tensor Take(int rows, int columns, DType dtype = DType.Float32) => Take(new Shape(rows, columns), dtype);

    /// <summary>
    /// Makes an empty arena one block of at least so many bytes, so that passes which need no more
    /// allocate nothing, the first one included.
    /// </summary>
    /// <exception cref="DeviceMemoryException">Not enough memory.</exception>
    public void Reserve(long bytes)
    {
        if (_blocks.Count == 1 && _blocks[0].Bytes >= bytes)
            return;

        // Never below what was once needed: passes of known shapes count on finding it.
        bytes = Math.Max(bytes, PeakBytes);
        Dispose();
        _blocks.Add(_memory.Allocate(bytes));
        _used.Add(0);
        _current = 0;
    }

    /// <summary>The present fill level, for <see cref="Release"/>.</summary>
    public ArenaMark Mark() => new(_current, _current < 0 ? 0 : _used[_current], _inUse);

    /// <summary>Gives back everything taken since <paramref name="mark"/>.</summary>
    public void Release(ArenaMark mark)
    {
        _current = mark.Block;
        if (_current >= 0)
            _used[_current] = mark.Used;

        _inUse = mark.InUse;
    }

    /// <summary>Gives back everything and replaces several blocks by one that holds the peak.</summary>
    public void Reset()
    {
        if (_blocks.Count > 1)
        {
            Dispose();
            _blocks.Add(_memory.Allocate(PeakBytes));
            _used.Add(0);
        }

        _current = _blocks.Count - 1;
        _inUse = 0;
        if (_current >= 0)
            _used[_current] = 0;
    }

    /// <summary>Frees all blocks.</summary>
    public void Dispose()
    {
        foreach (DeviceBuffer block in _blocks)
        {
            block.Dispose();
        }

        _blocks.Clear();
        _used.Clear();
        _current = -1;
        _inUse = 0;
    }
}

/// <summary>A fill level of an <see cref="Arena"/>.</summary>
/// <param name="Block">Index of the block in use, −1 before the first.</param>
/// <param name="Used">Bytes used in it.</param>
/// <param name="InUse">Bytes in use over all blocks.</param>
internal readonly record struct ArenaMark(int Block, long Used, long InUse);
