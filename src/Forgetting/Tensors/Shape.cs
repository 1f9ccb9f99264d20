
namespace Forgetting.Tensors;

/// <summary>
/// Extent of a tensor: a row-major matrix of <see cref="Rows"/> × <see cref="Columns"/>; a vector is one row.
/// Everything a decoder computes on is such a matrix, since sequences lie end to end along the rows
/// (see <see cref="Data.TokenBatch"/>) and heads lie side by side along the columns.
/// </summary>
/// <param name="Rows">Number of rows, at least 0.</param>
/// <param name="Columns">Number of columns, at least 0.</param>
internal readonly record struct Shape(int Rows, int Columns)
{
    /// <summary>A vector: one row.</summary>
    public Shape(int columns)
        : this(1, columns)
    {
    }

    /// <summary>Number of elements; 64-bit, since head weights pass 2³¹ in large models.</summary>
    public long Count => (long)Rows * Columns;

    /// <inheritdoc/>
    public override string ToString() => $"[{Rows}, {Columns}]";
}
