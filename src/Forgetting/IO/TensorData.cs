namespace Forgetting.IO;

/// <summary>The elements of a tensor, packed and row-major, wherever and however a file has them.</summary>
internal abstract class TensorData
{
    /// <summary>Bytes <paramref name="start"/> to <paramref name="start"/> + <paramref name="bytes"/>; dispose the view soon.</summary>
    public abstract MappedView Map(long start, long bytes);
}

/// <summary>Elements that lie in a file as they are read.</summary>
/// <param name="file">The file.</param>
/// <param name="offset">Position of the first byte.</param>
internal sealed class PackedData(MappedFile file, long offset) : TensorData
{
    /// <inheritdoc/>
    public override MappedView Map(long start, long bytes) => file.Map(offset + start, bytes);
}

/// <summary>Rows that lie in another order than they are read.</summary>
/// <param name="inner">The rows as they lie.</param>
/// <param name="rowBytes">Bytes of a row.</param>
/// <param name="place">Where row i lies. Neighbouring rows should lie near one another, since all between them is mapped.</param>
internal sealed class ReorderedRows(TensorData inner, long rowBytes, Func<long, long> place) : TensorData
{
    /// <inheritdoc/>
    public override MappedView Map(long start, long bytes)
    {
        if (bytes == 0)
            return new MappedView([]);

        long first = start / rowBytes, last = (start + bytes - 1) / rowBytes, lowest = long.MaxValue, highest = 0;
        for (long row = first; row <= last; row++)
        {
            lowest = Math.Min(lowest, place(row));
            highest = Math.Max(highest, place(row));
        }

        byte[] ordered = new byte[bytes];
        using MappedView view = inner.Map(lowest * rowBytes, (highest - lowest + 1) * rowBytes);
        for (long at = 0; at < bytes;)
        {
            (long row, long within) = Math.DivRem(start + at, rowBytes);
            int count = (int)Math.Min(rowBytes - within, bytes - at);
            view.Span(((place(row) - lowest) * rowBytes) + within, count).CopyTo(ordered.AsSpan((int)at));
            at += count;
        }

        return new MappedView(ordered);
    }
}

/// <summary>Elements that lie at distances of their own in each dimension, such as those of a transpose.</summary>
/// <param name="inner">What holds them.</param>
/// <param name="elementBytes">Bytes of an element.</param>
/// <param name="sizes">Sizes, outermost first.</param>
/// <param name="strides">Elements between neighbours in each dimension, none negative.</param>
internal sealed class StridedData(TensorData inner, int elementBytes, IReadOnlyList<long> sizes, IReadOnlyList<long> strides) : TensorData
{
    /// <summary>Elements from the first to behind the last.</summary>
    /// <exception cref="OverflowException">More than can be counted.</exception>
    public static long Extent(IReadOnlyList<long> sizes, IReadOnlyList<long> strides) =>
        sizes.Contains(0) ? 0 : sizes.Zip(strides).Aggregate(1L, (sum, d) => checked(sum + ((d.First - 1) * d.Second)));

    /// <summary>Whether elements at these distances are packed and row-major.</summary>
    public static bool IsPacked(IReadOnlyList<long> sizes, IReadOnlyList<long> strides)
    {
        long expected = 1;
        for (int i = sizes.Count - 1; i >= 0; i--)
        {
            if (sizes[i] != 1 && strides[i] != expected)
                return false;

            expected *= sizes[i];
        }

        return true;
    }

    /// <inheritdoc/>
    public override MappedView Map(long start, long bytes)
    {
        byte[] packed = new byte[bytes];
        long[] index = new long[sizes.Count];
        long rest = start / elementBytes, place = 0;
        for (int i = sizes.Count - 1; i >= 0 && bytes > 0; i--)
        {
            (rest, index[i]) = Math.DivRem(rest, sizes[i]);
            place += index[i] * strides[i];
        }

        using MappedView view = inner.Map(0, bytes == 0 ? 0 : Extent(sizes, strides) * elementBytes);
        for (int at = 0; at < bytes; at += elementBytes)
        {
            view.Span(place * elementBytes, elementBytes).CopyTo(packed.AsSpan(at));
            for (int i = sizes.Count - 1; i >= 0; i--)
            {
                place += strides[i];
                if (++index[i] < sizes[i])
                    break;

                place -= index[i] * strides[i];
                index[i] = 0;
            }
        }

        return new MappedView(packed);
    }
}
