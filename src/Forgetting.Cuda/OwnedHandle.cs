using System.Runtime.InteropServices;
using static Forgetting.Cuda.DriverAPINativeMethods;

namespace Forgetting.Cuda;

/// <summary>
/// A driver object that this process must give back, explicitly or through the finalizer. The driver wants the object's context to be
/// current when it is given back, which on the finalizer's thread it is not, so the context is remembered.
/// </summary>
internal sealed class OwnedHandle : SafeHandle
{
    private readonly Func<nint, CUResult> _release;
    private readonly CUcontext _context;
    private CUResult _released;

    public OwnedHandle(nint value, Func<nint, CUResult> release)
        : base(0, ownsHandle: true)
    {
        SetHandle(value);
        _release = release;
        CudaException.Check(ContextManagement.cuCtxGetCurrent(ref _context));
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>The handle itself.</summary>
    /// <exception cref="ObjectDisposedException">It was given back.</exception>
    public nint Value
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return handle;
        }
    }

    /// <summary>Gives the object back; <paramref name="call"/> names the function that does.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    public void Release(string call)
    {
        Dispose();
        CUResult status = _released;
        _released = CUResult.Success;
        if (status != CUResult.Success)
            throw new CudaException(status, call);
    }

    protected override bool ReleaseHandle()
    {
        CUcontext current = default;
        ContextManagement.cuCtxGetCurrent(ref current);
        if (current != _context)
            ContextManagement.cuCtxSetCurrent(_context);

        _released = _release(handle);
        if (current != _context)
            ContextManagement.cuCtxSetCurrent(current);

        return _released == CUResult.Success;
    }
}
