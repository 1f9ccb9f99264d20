using System.Globalization;
using System.Runtime.InteropServices;
using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Checkpoints;

/// <summary>
/// Moves tensors between files and a backend's memory in bounded pieces, converting element types on the way, transposing where a file
/// stores [in, out] (GPT-2's Conv1D).
/// </summary>
internal static class TensorTransfer
{
    // Elements per piece: large enough to amortise a mapping, small enough not to matter beside the weights.
    private const int PieceElements = 1 << 18;

    /// <summary>Fills a parameter's value and, where it is other memory, its master.</summary>
    /// <param name="transposed">The file holds [in, out].</param>
    public static void Load(StoredTensor source, bool transposed, Parameter parameter, IMemory memory, TransferBuffers buffers)
    {
        Load(source, transposed, parameter.Value, memory, buffers);
        if (!parameter.Master.IsEmpty && parameter.Master.Pointer != parameter.Value.Pointer)
            Load(source, transposed, parameter.Master, memory, buffers);

        if (parameter.OwnMaster() is not { } own)
            return;

        // The rows of which this rank has some, by way of memory for a few.
        Shape shape = parameter.Shape;
        int columns = shape.Columns, first = (int)(own.First / columns), end = (int)((own.First + own.Values.Count - 1) / columns) + 1,
            pieceRows = Math.Min(PieceRows(shape), end - first);
        using DeviceBuffer staging = memory.Allocate((long)pieceRows * columns * sizeof(float));
        for (int row = first; row < end; row += pieceRows)
        {
            Tensor piece = staging.AsTensor(new Shape(Math.Min(pieceRows, end - row), columns), DType.Float32);
            LoadRows(source, transposed, row, shape.Rows, piece, memory, buffers);
            parameter.SetOwnMaster(memory, (long)row * columns, piece);
        }
    }

    /// <summary>Fills <paramref name="destination"/> (Float32, BFloat16 or NormalFloat4) from a file.</summary>
    /// <param name="transposed">The file holds the transpose of the destination.</param>
    public static void Load(StoredTensor source, bool transposed, Tensor destination, IMemory memory, TransferBuffers buffers) =>
        LoadRows(source, transposed, 0, destination.Rows, destination, memory, buffers);

    // Rows of which the whole has so many.
    private static void LoadRows(
        StoredTensor source, bool transposed, int firstRow, int rows, Tensor destination, IMemory memory, TransferBuffers buffers)
    {
        if (destination.Count == 0)
            return;

        if (destination.DType == DType.NormalFloat4)
        {
            LoadQuantized(source, transposed, destination, memory);
            return;
        }

        if (transposed)
        {
            LoadTransposed(source, firstRow, rows, destination, memory, buffers);
            return;
        }

        int pieceRows = PieceRows(destination.Shape);
        for (int row = 0; row < destination.Rows; row += pieceRows)
        {
            Tensor piece = destination.RowRange(row, Math.Min(pieceRows, destination.Rows - row));
            using MappedView view = MapRows(source, firstRow + row, piece.Shape);
            Upload(view.Bytes, source.Type, piece, memory, buffers);
        }
    }

    /// <summary>
    /// Appends a tensor from memory to a file, in the file's layout and type. An element that is still what loading
    /// <paramref name="source"/> would give keeps the source's value, and in the source's type its bits, so what was not trained is written
    /// back unchanged even where memory is narrower than the file.
    /// </summary>
    /// <param name="entry">Name and type in the file.</param>
    /// <param name="source">The tensor that <paramref name="values"/> was loaded from, or null.</param>
    /// <param name="loadedAs">Element type as which memory held the source.</param>
    /// <param name="rounding">Told of what rounding to the file's type takes from changes; may be null.</param>
    /// <param name="areWeights">Whether a changed value must be finite in the file.</param>
    /// <exception cref="UserException">Such a value is not.</exception>
    public static void Save(
        Tensor values, IMemory memory, StoredTensor? source, TensorEntry entry, bool transposed, SafeTensorsWriter writer,
        TransferBuffers buffers, DType loadedAs = DType.Float32, UpdateRounding? rounding = null, bool areWeights = false)
    {
        StoredType type = entry.Type;
        Shape file = transposed ? new Shape(values.Columns, values.Rows) : values.Shape;
        int pieceRows = transposed ? file.Rows : PieceRows(file);
        for (int row = 0; row < file.Rows; row += pieceRows)
        {
            var shape = new Shape(Math.Min(pieceRows, file.Rows - row), file.Columns);
            int count = (int)shape.Count;
            float[] current = Download(transposed ? values : values.RowRange(row, shape.Rows), memory, buffers);
            if (transposed)
                current = Transpose(current, values.Shape, buffers);

            Span<byte> bytes = TransferBuffers.Ensure(ref buffers.Encoded, checked(count * type.Size())).AsSpan(0, count * type.Size());
            if (source is null)
            {
                ElementConversion.FromSingle(current.AsSpan(0, count), type, bytes);
                if (areWeights)
                    CheckWritten(entry, current.AsSpan(0, count), bytes, buffers);
            }
            else
            {
                using MappedView view = MapRows(source, row, shape);
                SaveChanged(view.Bytes, source.Type, current.AsSpan(0, count), entry, loadedAs, bytes, rounding, buffers);
            }

            writer.Write(bytes);
        }
    }

    /// <summary>Appends a tensor to a file as it lies in another.</summary>
    public static void Copy(StoredTensor source, SafeTensorsWriter writer)
    {
        for (long start = 0; start < source.Bytes; start += PieceElements)
        {
            using MappedView view = source.Map(start, Math.Min(PieceElements, source.Bytes - start));
            writer.Write(view.Bytes);
        }
    }

    private static int PieceRows(Shape shape) => Math.Max(1, PieceElements / Math.Max(1, shape.Columns));

    private static MappedView MapRows(StoredTensor source, int row, Shape shape)
    {
        long rowBytes = (long)shape.Columns * source.Type.Size();
        return source.Map(row * rowBytes, shape.Rows * rowBytes);
    }

    private static void Upload(ReadOnlySpan<byte> bytes, StoredType type, Tensor destination, IMemory memory, TransferBuffers buffers)
    {
        if (type == StoredType.F32 && destination.DType == DType.Float32)
        {
            memory.Upload(MemoryMarshal.Cast<byte, float>(bytes), destination);
        }
        else if (type == StoredType.BF16 && destination.DType == DType.BFloat16)
        {
            memory.Upload(MemoryMarshal.Cast<byte, ushort>(bytes), destination);
        }
        else
        {
            Span<float> values = TransferBuffers.Ensure(ref buffers.Values, (int)destination.Count).AsSpan(0, (int)destination.Count);
            ElementConversion.ToSingle(bytes, type, values);
            UploadSingle(values, destination, memory, buffers);
        }
    }

    private static void UploadSingle(ReadOnlySpan<float> values, Tensor destination, IMemory memory, TransferBuffers buffers)
    {
        if (destination.DType == DType.Float32)
        {
            memory.Upload(values, destination);
            return;
        }

        Span<ushort> narrow = TransferBuffers.Ensure(ref buffers.Narrow, values.Length).AsSpan(0, values.Length);
        ElementConversion.ToBFloat16(values, narrow);
        memory.Upload<ushort>(narrow, destination);
    }

    private static void LoadTransposed(
        StoredTensor source, int firstRow, int fileColumns, Tensor destination, IMemory memory, TransferBuffers buffers)
    {
        int pieceRows = Math.Min(PieceRows(destination.Shape), destination.Rows);
        using MappedView view = source.Map(0, source.Bytes);
        for (int first = 0; first < destination.Rows; first += pieceRows)
        {
            Tensor piece = destination.RowRange(first, Math.Min(pieceRows, destination.Rows - first));
            Span<float> values = TransferBuffers.Ensure(ref buffers.Values, (int)piece.Count).AsSpan(0, (int)piece.Count);
            ReadTransposed(source, view, firstRow + first, piece.Shape, fileColumns, values);
            UploadSingle(values, piece, memory, buffers);
        }
    }

    // A block of rows in memory is a block of the file's columns.
    private static void ReadTransposed(
        StoredTensor source, MappedView view, int firstRow, Shape piece, int fileColumns, Span<float> values)
    {
        int size = source.Type.Size();
        var line = new float[piece.Rows];
        for (int column = 0; column < piece.Columns; column++)
        {
            ReadOnlySpan<byte> bytes = view.Span((((long)column * fileColumns) + firstRow) * size, piece.Rows * size);
            ElementConversion.ToSingle(bytes, source.Type, line);
            for (int row = 0; row < piece.Rows; row++)
            {
                values[(row * piece.Columns) + column] = line[row];
            }
        }
    }

    // Scales are counted from their mean: the whole is needed at once.
    private static void LoadQuantized(StoredTensor source, bool transposed, Tensor destination, IMemory memory)
    {
        // What is in NF4 already keeps its bits.
        if (!transposed && source.Data is BitsAndBytesData quantized && quantized.Packed() is { } packed)
        {
            memory.Upload<byte>(packed, destination.Raw);
            return;
        }

        var values = new float[destination.Count];
        if (transposed)
        {
            using MappedView view = source.Map(0, source.Bytes);
            ReadTransposed(source, view, 0, destination.Shape, destination.Rows, values);
        }
        else
        {
            int pieceRows = PieceRows(destination.Shape);
            for (int row = 0; row < destination.Rows; row += pieceRows)
            {
                var piece = new Shape(Math.Min(pieceRows, destination.Rows - row), destination.Columns);
                using MappedView view = MapRows(source, row, piece);
                ElementConversion.ToSingle(view.Bytes, source.Type, values.AsSpan(row * piece.Columns, (int)piece.Count));
            }
        }

        memory.Upload<byte>(NormalFloat4.Quantize(values), destination.Raw);
    }

    private static float[] Download(Tensor piece, IMemory memory, TransferBuffers buffers)
    {
        int count = checked((int)piece.Count);
        float[] values = TransferBuffers.Ensure(ref buffers.Values, count);
        if (piece.DType == DType.Float32)
        {
            memory.Download(piece, values.AsSpan(0, count));
        }
        else
        {
            Span<ushort> narrow = TransferBuffers.Ensure(ref buffers.Narrow, count).AsSpan(0, count);
            memory.Download(piece, narrow);
            ElementConversion.FromBFloat16(narrow, values);
        }

        return values;
    }

    private static float[] Transpose(float[] values, Shape shape, TransferBuffers buffers)
    {
        float[] transposed = TransferBuffers.Ensure(ref buffers.Transposed, checked((int)shape.Count));
        for (int row = 0; row < shape.Rows; row++)
        {
            for (int column = 0; column < shape.Columns; column++)
            {
                transposed[(column * shape.Rows) + row] = values[(row * shape.Columns) + column];
            }
        }

        return transposed;
    }

    // Encodes what changed since it was loaded, and copies what did not.
    private static void SaveChanged(
        ReadOnlySpan<byte> original, StoredType originalType, Span<float> current, TensorEntry entry, DType loadedAs, Span<byte> encoded,
        UpdateRounding? rounding, TransferBuffers buffers)
    {
        int count = current.Length, size = entry.Type.Size();
        Span<float> exact = TransferBuffers.Ensure(ref buffers.Exact, count).AsSpan(0, count);
        ElementConversion.ToSingle(original, originalType, exact);
        Span<float> loaded = exact;
        if (loadedAs == DType.BFloat16)
        {
            loaded = TransferBuffers.Ensure(ref buffers.Loaded, count).AsSpan(0, count);
            Span<ushort> narrow = TransferBuffers.Ensure(ref buffers.Narrow, count).AsSpan(0, count);
            ElementConversion.ToBFloat16(exact, narrow);
            ElementConversion.FromBFloat16(narrow, loaded);
        }

        bool[] unchanged = TransferBuffers.Ensure(ref buffers.Unchanged, count);
        for (int i = 0; i < count; i++)
        {
            unchanged[i] = BitConverter.SingleToUInt32Bits(loaded[i]) == BitConverter.SingleToUInt32Bits(current[i]);
            if (unchanged[i])
                current[i] = exact[i];
        }

        ElementConversion.FromSingle(current, entry.Type, encoded);
        Span<float> written = TransferBuffers.Ensure(ref buffers.Written, count).AsSpan(0, count);
        ElementConversion.ToSingle(encoded, entry.Type, written);
        for (int i = 0; i < count; i++)
        {
            if (unchanged[i] && originalType == entry.Type)
                original.Slice(i * size, size).CopyTo(encoded[(i * size)..]);
            else if (!float.IsFinite(written[i]) && !(unchanged[i] && !float.IsFinite(exact[i])))
                throw NotHeld(entry, current[i]);
            else if (!unchanged[i])
                rounding?.Add((double)current[i] - loaded[i], (double)written[i] - current[i]);
        }
    }

    private static void CheckWritten(TensorEntry entry, ReadOnlySpan<float> values, ReadOnlySpan<byte> encoded, TransferBuffers buffers)
    {
        Span<float> written = TransferBuffers.Ensure(ref buffers.Written, values.Length).AsSpan(0, values.Length);
        ElementConversion.ToSingle(encoded, entry.Type, written);
        for (int i = 0; i < written.Length; i++)
        {
            if (!float.IsFinite(written[i]))
                throw NotHeld(entry, values[i]);
        }
    }

    private static UserException NotHeld(TensorEntry entry, float value)
    {
        double most = entry.Type == StoredType.F16 ? 65504 : 3.39e38;
        return new UserException(float.IsFinite(value)
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"{entry.Name}: a value is {value:0.###e+0}, expected at most {most:0.###e+0} in magnitude, which {entry.Type} holds; "
                    + $"another type to save as may hold it")
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{entry.Name}: a value is {value}, expected a finite number: an update overflowed; "
                    + $"a lower learning rate or clip may help"));
    }
}

/// <summary>Host memory for a series of transfers, grown on demand.</summary>
internal sealed class TransferBuffers
{
    public float[] Values = [];
    public float[] Loaded = [];
    public float[] Exact = [];
    public float[] Written = [];
    public bool[] Unchanged = [];
    public float[] Transposed = [];
    public ushort[] Narrow = [];
    public byte[] Encoded = [];

    public static T[] Ensure<T>(ref T[] buffer, int count) => buffer.Length >= count ? buffer : buffer = new T[count];
}
