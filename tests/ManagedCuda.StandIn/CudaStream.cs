using ManagedCuda.BasicTypes;

namespace ManagedCuda;

/// <summary>A stream.</summary>
public class CudaStream : IDisposable
{
    private readonly CUstream _stream;
    private bool _disposed;

    public CudaStream()
        : this(CUStreamFlags.None)
    {
    }

    public CudaStream(CUStreamFlags flags) => CudaException.Check(Functions.cuStreamCreate(ref _stream, flags));

    public CUstream Stream => _stream;

    public void Synchronize()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        CudaException.Check(Functions.cuStreamSynchronize(_stream));
    }

    public bool Query()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        CUResult result = Functions.cuStreamQuery(_stream);
        return result != CUResult.ErrorNotReady && (result == CUResult.Success ? true : throw new CudaException(result));
    }

    public void WaitEvent(CUevent cuevent) => CudaException.Check(Functions.cuStreamWaitEvent(_stream, cuevent, 0));

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Functions.cuStreamDestroy_v2(_stream);
        }
    }
}

/// <summary>An event.</summary>
public class CudaEvent : IDisposable
{
    private readonly CUevent _event;
    private bool _disposed;

    public CudaEvent()
        : this(CUEventFlags.Default)
    {
    }

    public CudaEvent(CUEventFlags flags) => CudaException.Check(Functions.cuEventCreate(ref _event, flags));

    public CUevent Event => _event;

    public static float ElapsedTime(CudaEvent eventStart, CudaEvent eventEnd)
    {
        float time = 0;
        CudaException.Check(Functions.cuEventElapsedTime(ref time, eventStart._event, eventEnd._event));
        return time;
    }

    public void Record() => Record(CUstream.NullStream);

    public void Record(CUstream stream) => CudaException.Check(Functions.cuEventRecord(_event, stream));

    public void Synchronize() => CudaException.Check(Functions.cuEventSynchronize(_event));

    public bool Query()
    {
        CUResult result = Functions.cuEventQuery(_event);
        return result != CUResult.ErrorNotReady && (result == CUResult.Success ? true : throw new CudaException(result));
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Functions.cuEventDestroy_v2(_event);
        }
    }
}
