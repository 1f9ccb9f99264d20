using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu.OneDnn;

/// <summary>Packs a block of columns of B.</summary>
/// <param name="fill">B has fewer rows than the shape has terms; zeros follow.</param>
/// <param name="packed">Where the blocks go, one behind the other.</param>
/// <param name="scratchpad">Bytes of the primitive's own memory, before the copy that is filled up.</param>
internal readonly unsafe struct PackJob(nint shape, Product product, bool fill, byte* packed, long scratchpad) : IJob
{
    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        OneDnnShape all = OneDnnShape.Of(shape);
        OneDnnBlock block = all.Block(index);
        long column = (long)index * all.Whole.Width;
        float* source = product.B + (product.TransposeB ? column * product.Ldb : column);
        OneDnnPrimitive reorder;
        if (fill)
        {
            float* copy = (float*)(scratch + scratchpad);
            for (int k = 0; k < product.K; k++)
            {
                new ReadOnlySpan<float>(source + ((long)k * product.Ldb), block.Width)
                    .CopyTo(new Span<float>(copy + ((long)k * block.Width), block.Width));
            }

            new Span<float>(copy + ((long)product.K * block.Width), (all.K - product.K) * block.Width).Clear();
            source = copy;
            reorder = block.Reorder(block.Width, 1);
        }
        else
        {
            reorder = product.TransposeB ? block.Reorder(1, product.Ldb) : block.Reorder(product.Ldb, 1);
        }

        all.Library.UseOneThread();
        reorder.Run([(nint)source, (nint)(packed + (index * all.Whole.PackedBytes)), (nint)scratch]);
    }
}

/// <summary>Packs some terms of a block of columns of B where the library keeps them in pairs.</summary>
/// <param name="packed">As in <see cref="PackJob"/>.</param>
/// <param name="terms">Terms of a task, a multiple of <see cref="BFloat16Packing.Depth"/>.</param>
internal readonly unsafe struct PackPairsJob(nint shape, Product product, byte* packed, int terms) : IJob
{
    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        OneDnnShape all = OneDnnShape.Of(shape);
        (int number, int part) = Math.DivRem(index, (all.K + terms - 1) / terms);
        OneDnnBlock block = all.Block(number);
        long column = (long)number * all.Whole.Width;
        int first = part * terms;
        float* source = product.B + (product.TransposeB ? (column * product.Ldb) + first : (first * (long)product.Ldb) + column);
        BFloat16Packing.Pairs(
            source, product.Ldb, product.TransposeB, block.Width, Math.Clamp(product.K - first, 0, terms), Math.Min(terms, all.K - first),
            all.PairWidth, (ushort*)(packed + (number * all.Whole.PackedBytes)) + ((long)first * all.PairWidth),
            BFloat16Packing.PanelSize(all.K, all.PairWidth));
    }
}

/// <summary>Multiplies some rows of A with some blocks of B.</summary>
/// <param name="few">Rows come in groups of <see cref="OneDnnBlock.FewRows"/>.</param>
/// <param name="streams">Everything goes through a tile and is stored past the caches; α is 1 and β 0.</param>
/// <param name="rowsPerTask">A multiple of the group.</param>
/// <param name="rowTasks">Tasks that share the rows of A.</param>
/// <param name="blocksPerTask">Blocks of columns of a task.</param>
internal readonly unsafe struct MultiplyJob(
    nint shape, Product product, byte* packed, DType type, bool few, bool streams, int rowsPerTask, int rowTasks, int blocksPerTask) : IJob
{
    private int Group => few ? OneDnnBlock.FewRows : OneDnnBlock.Rows;

    // Rows as the library reads them: in place if they are Float32, lie end to end and fill their group.
    private bool InPlace => type == DType.Float32 && !product.TransposeA && product.Lda == product.K;

    private int ElementBytes => type == DType.BFloat16 ? sizeof(ushort) : sizeof(float);

    /// <summary>A task's memory: prepared rows, a tile of C, the primitives' own.</summary>
    public long ScratchBytes(OneDnnShape all) => PreparedBytes(all) + TileBytes(all) + all.ScratchBytes;

    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        OneDnnShape all = OneDnnShape.Of(shape);
        all.Library.UseOneThread();
        int first = index % rowTasks * rowsPerTask;
        int end = Math.Min(first + rowsPerTask, product.M);
        float* tile = (float*)(scratch + PreparedBytes(all));
        byte* scratchpad = (byte*)tile + TileBytes(all);
        int prepared = InPlace ? first + ((end - first) / Group * Group) : first; // the first row that the library does not read in place
        if (prepared < end)
            Prepare(all, prepared, end - prepared, scratch);

        int block = index / rowTasks * blocksPerTask;
        for (int last = Math.Min(block + blocksPerTask, all.Blocks); block < last; block++)
        {
            for (int row = first; row < end; row += Group)
            {
                void* a =
                    row < prepared ? product.A + ((long)row * product.Lda) : scratch + ((long)(row - prepared) * all.K * ElementBytes);
                Multiply(all, block, row, Math.Min(Group, end - row), a, tile, scratchpad);
            }
        }

        if (streams)
            Sse.StoreFence();
    }

    private void Multiply(OneDnnShape all, int index, int row, int rows, void* a, float* tile, byte* scratchpad)
    {
        OneDnnBlock block = all.Block(index);
        byte* b = packed + (index * all.Whole.PackedBytes);
        float* c = product.C + ((long)row * product.Ldc) + ((long)index * all.Whole.Width);
        OneDnnPrimitive? direct = streams || rows < OneDnnBlock.Rows || product.Alpha != 1 || product.Ldc != product.N ? null
            : product.Beta == 0 ? block.Direct
            : product.Beta == 1 && (block.AddsLast || product.TransposeA) ? block.Added
            : null;
        if (direct is not null)
        {
            direct.Run([(nint)a, (nint)b, (nint)c, (nint)scratchpad]);
            return;
        }

        (few ? block.FewTile! : block.Tile!).Run([(nint)a, (nint)b, (nint)tile, (nint)scratchpad]);
        for (int i = 0; i < rows; i++)
        {
            Place(tile + ((long)i * block.Width), block.Width, c + ((long)i * product.Ldc));
        }
    }

    // A row of a tile to C.
    private void Place(float* source, int count, float* target)
    {
        int j = 0;
        for (; streams && j <= count - Vector512<float>.Count; j += Vector512<float>.Count)
        {
            Vector512.Load(source + j).StoreAlignedNonTemporal(target + j);
        }

        if (product.Alpha == 1 && product.Beta == 0)
        {
            new ReadOnlySpan<float>(source + j, count - j).CopyTo(new Span<float>(target + j, count - j));
            return;
        }

        for (; product.Alpha == 1 && product.Beta == 1 && j <= count - Vector512<float>.Count; j += Vector512<float>.Count)
        {
            (Vector512.Load(source + j) + Vector512.Load(target + j)).Store(target + j);
        }

        for (; j < count; j += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - j);
            PackedProduct.Update(Lanes.Load(source + j, lanes), target + j, product.Alpha, product.Beta, lanes);
        }
    }

    /// <summary>Rows end to end in the type of operands; zeros fill terms up, and rows to a whole group.</summary>
    private void Prepare(OneDnnShape all, int row, int rows, byte* target)
    {
        float* source = product.A + (product.TransposeA ? row : (long)row * product.Lda);
        if (type == DType.BFloat16 && product.TransposeA)
        {
            BFloat16Packing.Columns(source, product.Lda, rows, product.K, all.K, (ushort*)target);
        }
        else if (type == DType.BFloat16)
        {
            BFloat16Packing.Rows(source, product.Lda, rows, product.K, (ushort*)target);
        }
        else if (product.TransposeA)
        {
            // Tokens become columns: each is a line of one panel.
            Panels.Pack(source, product.Lda, false, product.K, rows, all.K, (float*)target);
        }
        else
        {
            for (int i = 0; i < rows; i++)
            {
                new ReadOnlySpan<float>(source + ((long)i * product.Lda), product.K)
                    .CopyTo(new Span<float>((float*)target + ((long)i * all.K), all.K));
            }
        }

        long bytes = (long)all.K * ElementBytes;
        int missing = (Group - (rows % Group)) % Group;
        new Span<byte>(target + (rows * bytes), (int)(missing * bytes)).Clear();
    }

    private long PreparedBytes(OneDnnShape all) => Align((long)rowsPerTask * all.K * ElementBytes);

    private long TileBytes(OneDnnShape all) => Align(sizeof(float) * (long)Group * all.Whole.Width);

    private static long Align(long bytes) => (bytes + 63) / 64 * 64;
}
