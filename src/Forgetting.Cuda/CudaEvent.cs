using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>A moment in a stream that others can wait for and that can be timed.</summary>
public sealed class CudaEvent : IDisposable
{
    private readonly OwnedHandle _handle;

    /// <summary>Creates an event that takes the time.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public CudaEvent()
        : this(CUEventFlags.Default)
    {
    }

    /// <summary>Creates an event.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public CudaEvent(CUEventFlags flags)
    {
        CUevent created = default;
        CudaException.Check(Events.cuEventCreate(ref created, flags));
        _handle = new OwnedHandle(created.Pointer, static handle => Events.cuEventDestroy_v2(new CUevent(handle)));
    }

    /// <summary>The driver's event.</summary>
    public CUevent Event => new(_handle.Value);

    /// <summary>Milliseconds from one event to another; both must have happened.</summary>
    /// <exception cref="CudaException">One was not recorded or has not happened yet.</exception>
    public static float ElapsedTime(CudaEvent eventStart, CudaEvent eventEnd)
    {
        float time = 0;
        CudaException.Check(Events.cuEventElapsedTime(ref time, eventStart.Event, eventEnd.Event));
        return time;
    }

    /// <summary>Records the event in the default stream.</summary>
    /// <exception cref="CudaException">The driver fails.</exception>
    public void Record() => Record(CUstream.NullStream);

    /// <summary>Records the event in a stream: it happens when the work submitted there so far is done.</summary>
    /// <exception cref="CudaException">Not a stream.</exception>
    public void Record(CUstream stream) => CudaException.Check(Events.cuEventRecord(Event, stream));

    /// <summary>Waits until the event has happened.</summary>
    /// <exception cref="CudaException">Work before it failed.</exception>
    public void Synchronize() => CudaException.Check(Events.cuEventSynchronize(Event));

    /// <summary>Whether the event has happened.</summary>
    /// <exception cref="CudaException">Work before it failed.</exception>
    public bool Query()
    {
        CUResult status = Events.cuEventQuery(Event);
        if (status == CUResult.ErrorNotReady)
            return false;

        CudaException.Check(status, nameof(Events.cuEventQuery));
        return true;
    }

    /// <summary>Destroys the event.</summary>
    public void Dispose() => _handle.Release(nameof(Events.cuEventDestroy_v2));
}
