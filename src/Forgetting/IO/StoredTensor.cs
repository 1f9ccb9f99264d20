using Forgetting.Tensors;

namespace Forgetting.IO;

/// <summary>A tensor in a file: packed, row-major, little-endian.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Type">Element type.</param>
/// <param name="Dimensions">Sizes, outermost first; empty for a scalar.</param>
/// <param name="Path">Path of the file, for errors.</param>
/// <param name="Data">The elements.</param>
internal sealed record StoredTensor(string Name, StoredType Type, IReadOnlyList<long> Dimensions, string Path, TensorData Data)
{
    /// <summary>Number of elements.</summary>
    public long Count => Dimensions.Aggregate(1L, (product, size) => product * size);

    /// <summary>Size in bytes.</summary>
    public long Bytes => Count * Type.Size();

    /// <summary>Maps <paramref name="bytes"/> bytes of the data from <paramref name="start"/>.</summary>
    public MappedView Map(long start, long bytes) => Data.Map(start, bytes);

    /// <summary>Sizes as messages show them.</summary>
    public string ShapeText => $"[{string.Join(", ", Dimensions)}]";

    /// <summary>Whether the sizes are those of <paramref name="shape"/>; a vector may have one dimension or be a single row.</summary>
    public bool Has(Shape shape) => Dimensions.Count switch
    {
        1 => shape.Rows == 1 && Dimensions[0] == shape.Columns,
        2 => Dimensions[0] == shape.Rows && Dimensions[1] == shape.Columns,
        _ => false,
    };

    /// <summary>Whether another tensor has the same type, sizes and bytes.</summary>
    public bool SameData(StoredTensor other)
    {
        const int Piece = 1 << 24;
        bool same = Type == other.Type && Dimensions.SequenceEqual(other.Dimensions);
        for (long start = 0; same && start < Bytes; start += Piece)
        {
            long bytes = Math.Min(Piece, Bytes - start);
            using MappedView mine = Map(start, bytes);
            using MappedView theirs = other.Map(start, bytes);
            same = mine.Bytes.SequenceEqual(theirs.Bytes);
        }

        return same;
    }
}
