namespace Forgetting.Tensors;

/// <summary>
/// A view of some neighbouring columns of a <see cref="Tensor"/>: a matrix whose rows lie further apart than it is wide, such as the
/// queries in [queries, keys, values]. A tensor converts to the view of all its columns. It owns nothing, as a tensor does.
/// </summary>
/// <param name="Pointer">Address of the first element, in the address space of the backend.</param>
/// <param name="Shape">Rows and columns of the view.</param>
/// <param name="Stride">Elements from one row to the next, at least the columns.</param>
/// <param name="DType">Element type.</param>
internal readonly record struct ColumnView(nint Pointer, Shape Shape, int Stride, DType DType)
{
    /// <summary>Rows.</summary>
    public int Rows => Shape.Rows;

    /// <summary>Columns.</summary>
    public int Columns => Shape.Columns;

    /// <summary>Number of elements.</summary>
    public long Count => Shape.Count;

    /// <summary>True for the default value, which stands for "not given".</summary>
    public bool IsEmpty => Pointer == 0;

    /// <summary>Bytes of the elements.</summary>
    public long Bytes => DType.Bytes(Shape);

    /// <summary>Bytes from the first element to the end of the last, those between rows included.</summary>
    public long Span => Stride == Columns || Count == 0 ? Bytes : ((((long)Rows - 1) * Stride) + Columns) * DType.Size();

    /// <summary>The tensor of which these are all columns, or default where they are some.</summary>
    public Tensor Whole => Stride == Columns ? new Tensor(Pointer, Shape, DType) : default;

    /// <summary>All columns of a tensor.</summary>
    public static implicit operator ColumnView(Tensor tensor) => new(tensor.Pointer, tensor.Shape, tensor.Columns, tensor.DType);

    /// <summary>The tensor whose columns these are from the first to the last, or default where they are none.</summary>
    public static Tensor Joined(ReadOnlySpan<ColumnView> parts)
    {
        ColumnView first = parts[0];
        int columns = 0;
        foreach (ColumnView part in parts)
        {
            if (part != first.Beside(columns, part.Columns))
                return default;

            columns += part.Columns;
        }

        return columns == first.Stride ? new Tensor(first.Pointer, new Shape(first.Rows, columns), first.DType) : default;
    }

    /// <summary>Whether the elements of the two are different memory: apart, or different columns of one tensor.</summary>
    public bool IsApartFrom(ColumnView other)
    {
        if (Count == 0 || other.Count == 0 || Pointer + (nint)Span <= other.Pointer || other.Pointer + (nint)other.Span <= Pointer)
            return true;

        if (Stride != other.Stride || DType != other.DType)
            return false;

        // Where the other's columns begin, counted from the first of these, in rows that begin there.
        long column = (other.Pointer - Pointer) / DType.Size() % Stride;
        column += column < 0 ? Stride : 0;
        return column >= Columns && column + other.Columns <= Stride;
    }

    /// <summary>So many columns of the same rows, from one on that is counted from the first of these.</summary>
    public ColumnView Beside(int column, int count) =>
        this with { Pointer = Pointer + (nint)((long)column * DType.Size()), Shape = new Shape(Rows, count) };
}
