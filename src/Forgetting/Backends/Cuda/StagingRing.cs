
namespace Forgetting.Backends.Cuda;

/// <summary>
/// Page-locked memory through which host data goes to the card, so that the caller may reuse its array at once and the copy
/// still runs beside the host. The ring has a few segments; one is written again only when the copies out of it are over,
/// which in a steady state they long are.
/// </summary>
internal sealed unsafe class StagingRing : IDisposable
{
    private const int Segments = 8;
    private const int SegmentBytes = 2 << 20;

    private readonly CudaDevice _device;
    private readonly CudaPageLockedHostMemory<byte> _memory;
    private readonly CudaEvent[] _left = new CudaEvent[Segments];
    private int _segment;
    private int _used;

    public StagingRing(CudaDevice device)
    {
        _device = device;
        _memory = new CudaPageLockedHostMemory<byte>(Segments * SegmentBytes);
        for (int i = 0; i < Segments; i++)
        {
            _left[i] = new CudaEvent(CUEventFlags.DisableTiming);
        }
    }

    /// <summary>Copies <paramref name="bytes"/> to the card; the source may be reused when this returns.</summary>
    public void Upload(byte* source, nint destination, long bytes)
    {
        _device.MakeCurrent();
        while (bytes > 0)
        {
            if (_used == SegmentBytes)
            {
                _left[_segment].Record(_device.Stream);
                _segment = (_segment + 1) % Segments;
                _left[_segment].Synchronize(); // an event never recorded counts as over
                _used = 0;
            }

            int part = (int)Math.Min(bytes, SegmentBytes - _used);
            byte* staged = (byte*)_memory.PinnedHostPointer + ((long)_segment * SegmentBytes) + _used;
            Buffer.MemoryCopy(source, staged, part, part);
            _device.CopyToDevice((nint)staged, destination, part);
            _used = Math.Min((_used + part + 63) / 64 * 64, SegmentBytes);
            source += part;
            destination += part;
            bytes -= part;
        }
    }

    public void Dispose()
    {
        _device.Synchronize();
        foreach (CudaEvent left in _left)
        {
            left.Dispose();
        }

        _memory.Dispose();
    }
}
