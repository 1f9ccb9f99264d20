using Forgetting.Core;
using Forgetting.Gguf;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints.Gguf;

/// <summary>Rows of numbers that are read a few at a time.</summary>
internal interface IRows
{
    /// <summary>How many.</summary>
    int Rows { get; }

    /// <summary>Numbers in each.</summary>
    int Columns { get; }

    /// <summary>Reads rows from <paramref name="first"/> on, as many as fill <paramref name="values"/>.</summary>
    void Read(int first, Span<float> values);
}

/// <summary>A tensor of a GGUF file.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Type">Element type in the file.</param>
/// <param name="IsVector">Whether it has one dimension, all of its rows one after the other.</param>
/// <param name="Values">The numbers.</param>
internal sealed record GgufTensor(string Name, GgufType Type, bool IsVector, IRows Values)
{
    // Numbers that are converted at a time.
    private const int PieceElements = 1 << 18;

    /// <summary>Sizes, the innermost first as the format has them.</summary>
    public IReadOnlyList<long> Dimensions => IsVector ? [(long)Values.Rows * Values.Columns] : [Values.Columns, Values.Rows];

    /// <summary>Bytes in the file.</summary>
    public long Bytes => Type.Bytes((long)Values.Rows * Values.Columns);

    /// <summary>A matrix, in the type of the file or the next best.</summary>
    public static GgufTensor Matrix(string name, GgufType type, IRows values) => new(name, type.OfMatrix(values.Columns), false, values);

    /// <summary>A vector, which is held in Float32 in files of any type.</summary>
    public static GgufTensor Vector(string name, IRows values) => new(name, GgufType.F32, true, values);

    /// <summary>Converts and appends all numbers, a piece at a time.</summary>
    /// <exception cref="UserException">A number is not finite or too large for the type.</exception>
    public void Write(Stream stream)
    {
        int pieceRows = Math.Clamp(PieceElements / Math.Max(1, Values.Columns), 1, Math.Max(1, Values.Rows));
        var values = new float[pieceRows * Values.Columns];
        var bytes = new byte[Type.Bytes(values.Length)];
        for (int row = 0; row < Values.Rows; row += pieceRows)
        {
            int count = Math.Min(pieceRows, Values.Rows - row) * Values.Columns;
            Span<byte> encoded = bytes.AsSpan(0, (int)Type.Bytes(count));
            Values.Read(row, values.AsSpan(0, count));
            GgufEncoding.Encode(Name, values.AsSpan(0, count), Type, encoded);
            stream.Write(encoded);
        }
    }
}

/// <summary>One row in memory.</summary>
internal sealed class MemoryRow(float[] row) : IRows
{
    /// <inheritdoc/>
    public int Rows => 1;

    /// <inheritdoc/>
    public int Columns => row.Length;

    /// <inheritdoc/>
    public void Read(int first, Span<float> values) => row.CopyTo(values);
}

/// <summary>Rows of a tensor of a checkpoint.</summary>
/// <param name="tensor">The tensor.</param>
/// <param name="isVector">Whether it is read as rows of one number each.</param>
/// <param name="transposed">The file holds the columns.</param>
/// <param name="order">Which row of the tensor is read as a row; null for rows in their own order.</param>
/// <param name="factor">What each number is multiplied by.</param>
/// <param name="offset">What is added to each number.</param>
internal sealed class StoredRows(
    StoredTensor tensor, bool isVector = false, bool transposed = false, Func<int, int>? order = null, double factor = 1, double offset = 0)
    : IRows
{
    private readonly int _fileColumns = isVector ? 1 : checked((int)tensor.Dimensions[1]);
    private readonly int _fileRows = checked((int)(isVector ? tensor.Count : tensor.Dimensions[0]));
    private float[] _line = [];

    /// <inheritdoc/>
    public int Rows => transposed ? _fileColumns : _fileRows;

    /// <inheritdoc/>
    public int Columns => transposed ? _fileRows : _fileColumns;

    /// <inheritdoc/>
    public void Read(int first, Span<float> values)
    {
        if (transposed)
            ReadColumns(first, values);
        else if (order is null)
            Decode((long)first * Columns, values);
        else
            ReadInOrder(order, first, values);

        if (factor != 1 || offset != 0)
        {
            foreach (ref float value in values)
            {
                value = (float)((value * factor) + offset);
            }
        }
    }

    private void Decode(long start, Span<float> values)
    {
        int size = tensor.Type.Size();
        using MappedView view = tensor.Map(start * size, (long)values.Length * size);
        ElementConversion.ToSingle(view.Bytes, tensor.Type, values);
    }

    private void ReadInOrder(Func<int, int> rowOf, int first, Span<float> values)
    {
        int size = tensor.Type.Size(), rowBytes = Columns * size;
        using MappedView view = tensor.Map(0, tensor.Bytes);
        for (int i = 0; i < values.Length / Columns; i++)
        {
            ReadOnlySpan<byte> row = view.Span((long)rowOf(first + i) * rowBytes, rowBytes);
            ElementConversion.ToSingle(row, tensor.Type, values.Slice(i * Columns, Columns));
        }
    }

    // A block of rows is a block of the file's columns.
    private void ReadColumns(int first, Span<float> values)
    {
        int rows = values.Length / Columns, size = tensor.Type.Size();
        if (_line.Length < rows)
            _line = new float[rows];

        using MappedView view = tensor.Map(0, tensor.Bytes);
        for (int column = 0; column < Columns; column++)
        {
            ReadOnlySpan<byte> part = view.Span((((long)column * _fileColumns) + first) * size, rows * size);
            ElementConversion.ToSingle(part, tensor.Type, _line.AsSpan(0, rows));
            for (int row = 0; row < rows; row++)
            {
                values[(row * Columns) + column] = _line[row];
            }
        }
    }
}
