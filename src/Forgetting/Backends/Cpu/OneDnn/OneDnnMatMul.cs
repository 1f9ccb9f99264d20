using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>
/// Products by oneDNN, cut into blocks of fixed size that the pool's threads compute each on itself (<see cref="OneDnnBlock"/>):
/// rows in groups of <see cref="OneDnnBlock.Rows"/>, the last filled up with zeros, and columns in equal parts. So neither the
/// number of rows nor that of threads reaches the library, and a row has the same bits in every batch. B is always packed, for a
/// product alone where no copy is kept.
/// </summary>
/// <remarks>
/// Sums are cut into equal pieces of at most <see cref="MaxTerms"/>, of which a block of B and some rows of A lie in the second-level
/// cache. A product with A transposed sums over tokens, whose number changes with every batch: its pieces are filled up with zeros to
/// fourteen sizes, so that primitives stay few.
/// </remarks>
internal sealed unsafe class OneDnnMatMul : IMatMul
{
    private const int MaxTerms = 2048;
    private const int PieceStep = 64;

    // Sizes of pieces of sums over tokens: multiples of the one up to the middle, then of the other.
    private const int TokenStep = 64;
    private const int MiddleTokens = 512;
    private const int WideTokenStep = 256;

    // Primitives for so many shapes are kept; a model has some dozens for its products with weights, and for sums
    // over tokens what its batches need.
    private const int MaxShapes = 256;

    // Prepared rows of A of a task: they share the second-level cache with a block of B.
    private const long PreparedBytes = 1 << 19;

    // Enough of them that threads end at about the same time.
    private const int TasksPerThread = 4;

    private readonly WorkerPool _pool;
    private readonly OneDnnLibrary _library;
    private readonly ManagedMatMul _managed;
    private readonly DType _type;
    private readonly nint[] _streams;
    private readonly Dictionary<(int N, int K), OneDnnShape> _shapes = [];
    private byte* _packed;
    private long _packedBytes;

    /// <summary>Products on the threads of <paramref name="pool"/>.</summary>
    public OneDnnMatMul(WorkerPool pool, OneDnnLibrary library, DType operandType = DType.Float32)
    {
        _pool = pool;
        _library = library;
        _type = operandType;
        _managed = new ManagedMatMul(pool, operandType);
        _streams = [.. Enumerable.Range(0, pool.Threads).Select(_ => library.Api.Stream())];
    }

    /// <inheritdoc/>
    public string Name => "onednn";

    /// <inheritdoc/>
    public string Description => $"{_library.Name} ({_library.Instructions}{(_type == DType.BFloat16 ? ", operands in bf16" : "")})";

    /// <inheritdoc/>
    public DType OperandType => _type;

    /// <inheritdoc/>
    public void Gemm(in Product product, void* packedB = null)
    {
        if (product.M == 0 || product.N == 0)
            return;

        if (product.K == 0 || (product.TransposeA && product.TransposeB))
        {
            _managed.Gemm(product);
            return;
        }

        int step = PieceOf(product.K);
        for (int k = 0; k < product.K; k += step)
        {
            Product piece = Piece(product, k, step);
            OneDnnShape shape = ShapeOf(piece);
            if (!shape.IsUsable)
            {
                _managed.Gemm(Piece(product, k, product.K));
                return;
            }

            byte* packed = (byte*)packedB;
            if (packed == null)
            {
                Reserve(shape.PackedBytes);
                Pack(shape, piece, packed = _packed);
            }
            else
            {
                packedB = packed + shape.PackedBytes;
            }

            Multiply(shape, piece, packed, streams: piece.K == product.K && product.Alpha == 1 && product.Streams);
        }
    }

    /// <inheritdoc/>
    public long PackedBytes(in Product product)
    {
        if (product.TransposeA || product.N == 0)
            return 0;

        long bytes = 0;
        int step = PieceOf(product.K);
        for (int k = 0; k < product.K; k += step)
        {
            OneDnnShape shape = ShapeOf(Piece(product, k, step));
            if (!shape.IsUsable)
                return 0;

            bytes += shape.PackedBytes;
        }

        return bytes;
    }

    /// <inheritdoc/>
    public void Pack(in Product product, void* packedB)
    {
        byte* packed = (byte*)packedB;
        int step = PieceOf(product.K);
        for (int k = 0; k < product.K; k += step)
        {
            Product piece = Piece(product, k, step);
            OneDnnShape shape = ShapeOf(piece);
            Pack(shape, piece, packed);
            packed += shape.PackedBytes;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Forget();
        foreach (nint stream in _streams)
        {
            _library.Api.Free(stream, "dnnl_stream_destroy");
        }

        _managed.Dispose();
        NativeMemory.AlignedFree(_packed);
        _packed = null;
        _packedBytes = 0;
    }

    // The terms of the sum from k on, at most so many.
    private static Product Piece(in Product p, int k, int most) => new(
        p.TransposeA, p.TransposeB, p.M, p.N, Math.Min(most, p.K - k), p.Alpha, p.A + (p.TransposeA ? (long)k * p.Lda : k), p.Lda,
        p.B + (p.TransposeB ? k : (long)k * p.Ldb), p.Ldb, k == 0 ? p.Beta : 1, p.C, p.Ldc);

    // Terms of every piece but the last.
    private static int PieceOf(int k)
    {
        int pieces = Math.Max((k + MaxTerms - 1) / MaxTerms, 1);
        return Math.Max(Panels.RoundUp((k + pieces - 1) / pieces, PieceStep), PieceStep);
    }

    private OneDnnShape ShapeOf(in Product piece) =>
        Shape(piece.N, piece.TransposeA ? Panels.RoundUp(piece.K, piece.K <= MiddleTokens ? TokenStep : WideTokenStep) : piece.K);

    private OneDnnShape Shape(int n, int k)
    {
        if (!_shapes.TryGetValue((n, k), out OneDnnShape? shape))
        {
            if (_shapes.Count == MaxShapes)
                Forget();

            _library.UseOneThread();
            shape = new OneDnnShape(_library, _streams, _type, n, k);
            _shapes.Add((n, k), shape);
        }

        return shape;
    }

    private void Forget()
    {
        foreach (OneDnnShape shape in _shapes.Values)
        {
            shape.Dispose();
        }

        _shapes.Clear();
    }

    private void Reserve(long bytes)
    {
        if (bytes > _packedBytes)
        {
            NativeMemory.AlignedFree(_packed);
            _packed = null;
            _packedBytes = 0;
            _packed = (byte*)HostHeap.Allocate((nuint)bytes);
            _packedBytes = bytes;
        }
    }

    private void Pack(OneDnnShape shape, in Product product, byte* packed)
    {
        if (shape.PairWidth > 0)
        {
            int tasks = (TasksPerThread * _pool.Threads) + shape.Blocks - 1;
            int steps = (shape.K + BFloat16Packing.Depth - 1) / BFloat16Packing.Depth;
            int parts = Math.Clamp(tasks / shape.Blocks, 1, steps);
            int terms = (steps + parts - 1) / parts * BFloat16Packing.Depth;
            _pool.Run(new PackPairsJob(shape.Handle, product, packed, terms), shape.Blocks * ((shape.K + terms - 1) / terms), 0);
            return;
        }

        // Terms that are filled up come from a copy of the columns, which lie side by side there.
        bool fill = product.K < shape.K;
        OneDnnPrimitive ReorderOf(OneDnnBlock block, in Product p) =>
            fill ? block.Reorder(block.Width, 1) : p.TransposeB ? block.Reorder(1, p.Ldb) : block.Reorder(p.Ldb, 1);
        _library.UseOneThread();
        long scratchpad =
            (Math.Max(ReorderOf(shape.Whole, product).ScratchBytes, ReorderOf(shape.Last, product).ScratchBytes) + 63) / 64 * 64;
        long copy = fill ? sizeof(float) * (long)shape.K * shape.Whole.Width : 0;
        _pool.Run(new PackJob(shape.Handle, product, fill, packed, scratchpad), shape.Blocks, scratchpad + copy);
    }

    private void Multiply(OneDnnShape shape, in Product product, byte* packed, bool streams)
    {
        bool few = product.M <= OneDnnBlock.FewRows && shape.Whole.FewTile is not null && shape.Last.FewTile is not null;
        int rows = few ? OneDnnBlock.FewRows : OneDnnBlock.Rows;
        int groups = (product.M + rows - 1) / rows;
        long rowBytes = (_type == DType.BFloat16 ? sizeof(ushort) : sizeof(float)) * (long)shape.K;
        int tasks = TasksPerThread * _pool.Threads;
        int perTask = (int)Math.Clamp(PreparedBytes / (rowBytes * rows), 1, Math.Max(groups * (long)shape.Blocks / tasks, 1));
        int rowTasks = (groups + perTask - 1) / perTask;
        int parts = Math.Clamp((tasks + rowTasks - 1) / rowTasks, 1, shape.Blocks);
        int blocksPerPart = (shape.Blocks + parts - 1) / parts;
        var job = new MultiplyJob(shape.Handle, product, packed, _type, few, streams, rows * perTask, rowTasks, blocksPerPart);
        _pool.Run(job, rowTasks * ((shape.Blocks + blocksPerPart - 1) / blocksPerPart), job.ScratchBytes(shape));
    }
}
