using System.Globalization;

namespace Forgetting.Cuda;

/// <summary>A size in bytes or elements, as the driver's <c>size_t</c>; converts from and to the integer types.</summary>
public readonly record struct SizeT(nuint Value)
{
    /// <summary>From an <see cref="int"/>, which must not be negative.</summary>
    public static implicit operator SizeT(int value) => new(checked((nuint)value));

    /// <summary>From a <see cref="uint"/>.</summary>
    public static implicit operator SizeT(uint value) => new(value);

    /// <summary>From a <see cref="long"/>, which must not be negative.</summary>
    public static implicit operator SizeT(long value) => new(checked((nuint)value));

    /// <summary>From a <see cref="ulong"/>.</summary>
    public static implicit operator SizeT(ulong value) => new(checked((nuint)value));

    /// <summary>To an <see cref="int"/>.</summary>
    public static implicit operator int(SizeT value) => checked((int)value.Value);

    /// <summary>To a <see cref="uint"/>.</summary>
    public static implicit operator uint(SizeT value) => checked((uint)value.Value);

    /// <summary>To a <see cref="long"/>.</summary>
    public static implicit operator long(SizeT value) => checked((long)value.Value);

    /// <summary>To a <see cref="ulong"/>.</summary>
    public static implicit operator ulong(SizeT value) => value.Value;

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>An address in device memory.</summary>
/// <param name="Pointer">The address; 0 is null.</param>
public readonly record struct CUdeviceptr(SizeT Pointer);

/// <summary>A device.</summary>
/// <param name="Pointer">Its ordinal.</param>
public readonly record struct CUdevice(int Pointer);

/// <summary>A context.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUcontext(nint Pointer);

/// <summary>A loaded module: the kernels of one image.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUmodule(nint Pointer);

/// <summary>A kernel.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUfunction(nint Pointer);

/// <summary>A stream.</summary>
/// <param name="Pointer">The driver's handle; 0 is the default stream.</param>
public readonly record struct CUstream(nint Pointer)
{
    /// <summary>The legacy default stream.</summary>
    public static CUstream NullStream => default;
}

/// <summary>An event.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUevent(nint Pointer);

/// <summary>A graph.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUgraph(nint Pointer);

/// <summary>An executable graph.</summary>
/// <param name="Pointer">The driver's handle; 0 is none.</param>
public readonly record struct CUgraphExec(nint Pointer);

/// <summary>Extent of a grid in blocks or of a block in threads.</summary>
#pragma warning disable CA1051, CS8981, IDE1006 // CUDA's own name, as in ManagedCuda
public struct dim3 : IEquatable<dim3>
{
    /// <summary>First dimension.</summary>
    public uint x;

    /// <summary>Second dimension.</summary>
    public uint y;

    /// <summary>Third dimension.</summary>
    public uint z;

    /// <summary>One to three dimensions.</summary>
    public dim3(uint xValue, uint yValue = 1, uint zValue = 1)
    {
        x = xValue;
        y = yValue;
        z = zValue;
    }

    /// <summary>One to three dimensions.</summary>
    public dim3(int xValue, int yValue = 1, int zValue = 1)
        : this(checked((uint)xValue), checked((uint)yValue), checked((uint)zValue))
    {
    }

    /// <summary>One dimension.</summary>
    public static implicit operator dim3(int value) => new(value);

    /// <summary>One dimension.</summary>
    public static implicit operator dim3(uint value) => new(value);

    /// <summary>Equality of all dimensions.</summary>
    public static bool operator ==(dim3 left, dim3 right) => left.Equals(right);

    /// <summary>Inequality of some dimension.</summary>
    public static bool operator !=(dim3 left, dim3 right) => !left.Equals(right);

    /// <inheritdoc/>
    public readonly bool Equals(dim3 other) => x == other.x && y == other.y && z == other.z;

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is dim3 other && Equals(other);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => HashCode.Combine(x, y, z);

    /// <inheritdoc/>
    public override readonly string ToString() => $"({x}, {y}, {z})";
}
