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
                new ReadOnlySpan<float>(source + ((long)k * product.Ldb), block.Width).CopyTo(new Span<float>(copy + ((long)k * block.Width), block.Width));
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

/// <summary>Multiplies some rows of A with some blocks of B.</summary>
/// <param name="few">Rows come in groups of <see cref="OneDnnBlock.FewRows"/>.</param>
/// <param name="rowsPerTask">A multiple of the group.</param>
/// <param name="rowTasks">Tasks that share the rows of A.</param>
/// <param name="blocksPerTask">Blocks of columns of a task.</param>
internal readonly unsafe struct MultiplyJob(
    nint shape, Product product, byte* packed, DType type, bool few, int rowsPerTask, int rowTasks, int blocksPerTask) : IJob
{
    private int Group => few ? OneDnnBlock.FewRows : OneDnnBlock.Rows;

    // Rows as the library reads them: in place if they are Float32, lie end to end and fill their group.
    private bool InPlace => type == DType.Float32 && !product.TransposeA && product.Lda == product.K;

    private int ElementBytes => type == DType.BFloat16 ? sizeof(ushort) : sizeof(float);

    /// <summary>A task's memory: prepared rows, a group of them as Float32 while they are rounded, a tile of C, the primitives' own.</summary>
    public long ScratchBytes(OneDnnShape all) => PreparedBytes(all) + FloatBytes(all) + TileBytes(all) + all.ScratchBytes;

    /// <inheritdoc/>
    public void Run(int index, byte* scratch)
    {
        OneDnnShape all = OneDnnShape.Of(shape);
        all.Library.UseOneThread();
        int first = index % rowTasks * rowsPerTask;
        int end = Math.Min(first + rowsPerTask, product.M);
        byte* floats = scratch + PreparedBytes(all);
        float* tile = (float*)(floats + FloatBytes(all));
        byte* scratchpad = (byte*)tile + TileBytes(all);
        for (int row = first; row < end; row += Group)
        {
            if (!InPlace || end - row < Group)
            {
                Prepare(all, row, Math.Min(Group, end - row), scratch + ((long)(row - first) * all.K * ElementBytes), (float*)floats);
            }
        }

        int block = index / rowTasks * blocksPerTask;
        for (int last = Math.Min(block + blocksPerTask, all.Blocks); block < last; block++)
        {
            for (int row = first; row < end; row += Group)
            {
                int rows = Math.Min(Group, end - row);
                void* a = InPlace && rows == Group ? product.A + ((long)row * product.Lda) : scratch + ((long)(row - first) * all.K * ElementBytes);
                Multiply(all, block, row, rows, a, tile, scratchpad);
            }
        }
    }

    private void Multiply(OneDnnShape all, int index, int row, int rows, void* a, float* tile, byte* scratchpad)
    {
        OneDnnBlock block = all.Block(index);
        byte* b = packed + (index * all.Whole.PackedBytes);
        float* c = product.C + ((long)row * product.Ldc) + ((long)index * all.Whole.Width);
        OneDnnPrimitive? direct = rows < OneDnnBlock.Rows || product.Alpha != 1 || product.Ldc != product.N ? null
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
            float* source = tile + ((long)i * block.Width);
            float* target = c + ((long)i * product.Ldc);
            for (int j = 0; j < block.Width; j += Lanes.Count)
            {
                int lanes = Math.Min(Lanes.Count, block.Width - j);
                PackedProduct.Update(Lanes.Load(source + j, lanes), target + j, product.Alpha, product.Beta, lanes);
            }
        }
    }

    /// <summary>A group of rows end to end in the type of operands; missing rows and terms are zeros.</summary>
    private void Prepare(OneDnnShape all, int row, int rows, byte* target, float* floats)
    {
        float* values = type == DType.BFloat16 ? floats : (float*)target;
        if (product.TransposeA)
        {
            // Tokens become columns: each is a line of one panel.
            Panels.Pack(product.A + row, product.Lda, false, product.K, rows, all.K, values);
        }
        else
        {
            for (int i = 0; i < rows; i++)
            {
                new ReadOnlySpan<float>(product.A + ((long)(row + i) * product.Lda), product.K).CopyTo(new Span<float>(values + ((long)i * all.K), all.K));
            }
        }

        new Span<float>(values + ((long)rows * all.K), (Group - rows) * all.K).Clear();
        if (type == DType.BFloat16)
        {
            Lanes.NarrowToBFloat16(values, (ushort*)target, (long)Group * all.K);
        }
    }

    private long PreparedBytes(OneDnnShape all) => Align((long)rowsPerTask * all.K * ElementBytes);

    private long FloatBytes(OneDnnShape all) => type == DType.BFloat16 ? Align(sizeof(float) * (long)Group * all.K) : 0;

    private long TileBytes(OneDnnShape all) => Align(sizeof(float) * (long)Group * all.Whole.Width);

    private static long Align(long bytes) => (bytes + 63) / 64 * 64;
}
