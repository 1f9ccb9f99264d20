using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>A stream: work submitted to it is done in order.</summary>
public sealed class CudaStream : IDisposable
{
    private readonly OwnedHandle _handle;

    /// <summary>Creates a stream ordered with the default stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public CudaStream()
        : this(CUStreamFlags.None)
    {
    }

    /// <summary>Creates a stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public CudaStream(CUStreamFlags flags)
    {
        CUstream stream = default;
        CudaException.Check(Streams.cuStreamCreate(ref stream, flags));
        _handle = new OwnedHandle(stream.Pointer, static handle => Streams.cuStreamDestroy_v2(new CUstream(handle)));
    }

    /// <summary>The driver's stream.</summary>
    public CUstream Stream => new(_handle.Value);

    /// <summary>Waits for all work submitted so far.</summary>
    /// <exception cref="CudaException">Some of it failed.</exception>
    public void Synchronize() => CudaException.Check(Streams.cuStreamSynchronize(Stream));

    /// <summary>Whether all work submitted so far is done.</summary>
    /// <exception cref="CudaException">Some of it failed.</exception>
    public bool Query()
    {
        CUResult status = Streams.cuStreamQuery(Stream);
        if (status == CUResult.ErrorNotReady)
            return false;

        CudaException.Check(status, nameof(Streams.cuStreamQuery));
        return true;
    }

    /// <summary>Makes work submitted from now on wait for an event.</summary>
    /// <exception cref="CudaException">Not an event.</exception>
    public void WaitEvent(CUevent cuevent) => CudaException.Check(Streams.cuStreamWaitEvent(Stream, cuevent, 0));

    /// <summary>Destroys the stream; work under way is still done.</summary>
    public void Dispose() => _handle.Release(nameof(Streams.cuStreamDestroy_v2));
}
