using System.Diagnostics;
using Forgetting.IO;

namespace Forgetting.Tensors;

/// <summary>
/// A view of a packed row-major matrix in a backend's memory. It owns nothing: the memory belongs to a
/// <see cref="DeviceBuffer"/> or an <see cref="Arena"/>. Copying a view copies no data.
/// </summary>
/// <param name="Pointer">Address of the first element, in the address space of the backend (host or device).</param>
/// <param name="Shape">Rows and columns.</param>
/// <param name="DType">Element type.</param>
internal readonly record struct Tensor(nint Pointer, Shape Shape, DType DType)
{
    /// <summary>Rows.</summary>
    public int Rows => Shape.Rows;

    /// <summary>Columns; also the stride between rows, in elements.</summary>
    public int Columns => Shape.Columns;

    /// <summary>Number of elements.</summary>
    public long Count => Shape.Count;

    /// <summary>Size in bytes.</summary>
    public long Bytes => DType.Bytes(Shape);

    /// <summary>True for the default value, which stands for "not given".</summary>
    public bool IsEmpty => Pointer == 0;

    /// <summary>Rows <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/> of this tensor.</summary>
    public Tensor RowRange(int start, int count)
    {
        Debug.Assert(start >= 0 && count >= 0 && start + count <= Rows, "row range outside the tensor");
        return new Tensor(Pointer + (nint)((long)start * Columns * DType.Size()), new Shape(count, Columns), DType);
    }

    /// <summary>Some elements, as a vector.</summary>
    public Tensor Elements(long first, int count) => Part(first, new Shape(count));

    /// <summary>Elements from one on, in a shape of their own.</summary>
    internal Tensor Part(long first, Shape shape)
    {
        Debug.Assert(first >= 0 && shape.Count >= 0 && first + shape.Count <= Count, "elements outside the tensor");
        return new Tensor(Pointer + (nint)(first * DType.Size()), shape, DType);
    }

    /// <summary>The memory of a tensor of at most 2³¹ − 1 bytes, as bytes.</summary>
    public Tensor Raw => new(Pointer, new Shape(checked((int)Bytes)), DType.UInt8);

    /// <summary>Columns <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/> of all rows.</summary>
    public ColumnView ColumnRange(int start, int count)
    {
        Debug.Assert(start >= 0 && count >= 0 && start + count <= Columns, "column range outside the tensor");
        return new ColumnView(Pointer + (nint)((long)start * DType.Size()), new Shape(Rows, count), Columns, DType);
    }

    /// <summary>The same elements as another shape with the same count.</summary>
    public Tensor Reshape(Shape shape)
    {
        Debug.Assert(shape.Count == Count, "reshape changes the number of elements");
        return this with { Shape = shape };
    }

    /// <summary>Elements as a span. Only for tensors in host memory with at most 2³¹ − 1 elements.</summary>
    /// <typeparam name="T">Element type of the same size as <see cref="DType"/>.</typeparam>
    public unsafe Span<T> AsSpan<T>()
        where T : unmanaged
    {
        Debug.Assert(sizeof(T) == DType.Size(), "element size differs from the tensor's");
        return new Span<T>((void*)Pointer, checked((int)Count));
    }
}
