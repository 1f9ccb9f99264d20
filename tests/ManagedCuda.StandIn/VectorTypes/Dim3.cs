namespace ManagedCuda.VectorTypes;

public struct dim3
{
    public uint x;
    public uint y;
    public uint z;

    public dim3(uint xValue, uint yValue, uint zValue) => (x, y, z) = (xValue, yValue, zValue);

    public dim3(uint val)
        : this(val, 1, 1)
    {
    }

    public dim3(int val)
        : this(checked((uint)val))
    {
    }

    public static implicit operator dim3(int value) => new(value);

    public static implicit operator dim3(uint value) => new(value);
}
