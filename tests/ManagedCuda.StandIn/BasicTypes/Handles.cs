namespace ManagedCuda.BasicTypes;

public struct SizeT
{
    private readonly nuint _value;

    public SizeT(ulong value) => _value = checked((nuint)value);

    public static implicit operator int(SizeT t) => checked((int)t._value);

    public static implicit operator long(SizeT t) => checked((long)t._value);

    public static implicit operator ulong(SizeT t) => t._value;

    public static implicit operator SizeT(int value) => new(checked((ulong)value));

    public static implicit operator SizeT(long value) => new(checked((ulong)value));

    public static implicit operator SizeT(ulong value) => new(value);
}

public struct CUdeviceptr(SizeT pointer)
{
    public SizeT Pointer = pointer;
}

public struct CUdevice
{
    public int Pointer;
}

public struct CUcontext
{
    public nint Pointer;
}

public struct CUmodule
{
    public nint Pointer;
}

public struct CUfunction
{
    public nint Pointer;
}

public struct CUstream
{
    public nint Pointer;

    public static CUstream NullStream => default;
}

public struct CUevent
{
    public nint Pointer;
}

public struct CUgraph
{
    public nint Pointer;
}

public struct CUgraphExec
{
    public nint Pointer;
}
