using System.Runtime.InteropServices;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Products by packing and blocking (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; Van Zee and
/// van de Geijn, "BLIS", 2015): a block of B, packed by all threads, stays in the shared cache; each task packs a block of A for its
/// thread's second-level cache and runs the micro-kernel over its tiles. The sum over k is split in a way that depends on k alone
/// (<see cref="DepthOf"/>), so a row of C has the same bits in every batch.
/// </summary>
internal sealed unsafe class ManagedMatMul : IMatMul
{
    // Most k per block: a panel of B of this depth, 24 KiB, fits the first-level cache.
    private const int MaxDepth = 384;

    // 144 × 384 floats of A: less than half of a 512 KiB second-level cache. A multiple of all kernels' rows.
    private const int RowBlock = 144;

    // 4,096 × 384 floats of B: 6 MiB of the shared cache.
    private const int ColumnBlock = 4096;

    private readonly WorkerPool _pool;
    private readonly int _bits;
    private readonly bool _round;
    private readonly float* _packedB = (float*)HostHeap.Allocate((nuint)sizeof(float) * MaxDepth * ColumnBlock);

    /// <summary>Products on the threads of <paramref name="pool"/>, with vectors of <see cref="VectorWidth.Bits"/>.</summary>
    /// <param name="operandType">Type to which operands are rounded.</param>
    public ManagedMatMul(WorkerPool pool, DType operandType = DType.Float32)
        : this(pool, operandType, VectorWidth.Bits)
    {
    }

    /// <summary>Products with the kernel of a width chosen by the caller, for tests.</summary>
    internal ManagedMatMul(WorkerPool pool, DType operandType, int bits)
    {
        _pool = pool;
        _round = operandType == DType.BFloat16;
        _bits = bits;
    }

    /// <inheritdoc/>
    public string Name => "managed";

    /// <inheritdoc/>
    public string Description =>
        $"managed ({(_bits == 0 ? "scalar" : $"{_bits}-bit")}"
        + (_round ? ", operands rounded to bf16, computed in fp32: no faster than fp32)" : ")");

    /// <inheritdoc/>
    public DType OperandType => _round ? DType.BFloat16 : DType.Float32;

    /// <summary>
    /// k per block: equal parts, since each one reads and writes all of C, and a short rest would do so for little work.
    /// </summary>
    public static int DepthOf(int k)
    {
        int blocks = Math.Max((k + MaxDepth - 1) / MaxDepth, 1);
        return Panels.RoundUp(Math.Max((k + blocks - 1) / blocks, 1), 8);
    }

    /// <inheritdoc/>
    public void Gemm(in Product product, void* packedB = null)
    {
        if (product.M == 0 || product.N == 0)
            return;

        if (packedB == null && IsThin(product))
        {
            ThinProduct.Run(_pool, product, _round, _packedB);
        }
        else if (product is { M: 1, TransposeA: false })
        {
            Run<RowKernel512, RowKernel256, RowKernel128>(product, (float*)packedB);
        }
        else
        {
            Run<Kernel512, Kernel256, Kernel128>(product, (float*)packedB);
        }
    }

    /// <inheritdoc/>
    public long PackedBytes(in Product product) =>
        sizeof(float) * (long)Panels.RoundUp(
            product.N, _bits switch { 512 => Kernel512.Columns, 256 => Kernel256.Columns, _ => Kernel128.Columns }) * product.K;

    /// <inheritdoc/>
    public void Pack(in Product product, void* packedB)
    {
        switch (_bits)
        {
            case 512:
                Pack<Kernel512>(product, (float*)packedB);
                break;
            case 256:
                Pack<Kernel256>(product, (float*)packedB);
                break;
            default:
                Pack<Kernel128>(product, (float*)packedB);
                break;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => NativeMemory.AlignedFree(_packedB);

    // The memory for a block of B is free then, and holds the rows of A rounded.
    private static bool IsThin(in Product product) => ThinProduct.Suits(product) && (long)product.M * product.K <= MaxDepth * ColumnBlock;

    private void Run<TKernel512, TKernel256, TKernel128>(in Product product, float* packedB)
        where TKernel512 : unmanaged, IMicroKernel
        where TKernel256 : unmanaged, IMicroKernel
        where TKernel128 : unmanaged, IMicroKernel
    {
        switch (_bits)
        {
            case 512:
                Run<TKernel512>(product, packedB);
                break;
            case 256:
                Run<TKernel256>(product, packedB);
                break;
            default:
                Run<TKernel128>(product, packedB);
                break;
        }
    }

    private void Run<TKernel>(in Product product, float* packedB)
        where TKernel : unmanaged, IMicroKernel
    {
        // Every task packs its block of A, so it has no fewer than eight panels of B; of a few rows that is nothing.
        int fewest = product.M <= ThinProduct.MaxRows ? 2 : 8;

        // Rows in equal blocks rather than full ones and a rest. Where there are fewer parts than threads, rows are cut finer, unless they
        // become too few to be worth their reading of B.
        int rowBlocks = (product.M + RowBlock - 1) / RowBlock;
        int columnParts = Math.Max(PanelCount<TKernel>(Math.Min(product.N, ColumnBlock)) / fewest, 1);
        if (rowBlocks * columnParts < _pool.Threads && !IsSmall(product))
        {
            int fewestRows = 3 * TKernel.Rows;
            rowBlocks =
                Math.Max(rowBlocks, Math.Min((_pool.Threads + columnParts - 1) / columnParts, (product.M + fewestRows - 1) / fewestRows));
        }

        int rows = Panels.RoundUp((product.M + rowBlocks - 1) / rowBlocks, TKernel.Rows);
        rowBlocks = (product.M + rows - 1) / rows;
        for (int column = 0; column < product.N; column += ColumnBlock)
        {
            int columns = Math.Min(ColumnBlock, product.N - column);
            int panels = PanelCount<TKernel>(columns);

            // Enough tasks for the threads to even out.
            int parts = IsSmall(product) ? 1 : Math.Clamp(4 * _pool.Threads / rowBlocks, 1, Math.Max(panels / fewest, 1));
            int panelsPerPart = (panels + parts - 1) / parts;
            int step = DepthOf(product.K);
            int depth = 0;
            do
            {
                int k = Math.Min(step, product.K - depth);
                var block = new Block(
                    product, packedB == null ? _packedB : packedB + Offset<TKernel>(product, column, depth), column, columns, depth, k);
                if (packedB == null)
                    Pack<TKernel>(block);

                _pool.Run(
                    new TileJob<TKernel>(block, rows, rowBlocks, panelsPerPart, _round),
                    rowBlocks * ((panels + panelsPerPart - 1) / panelsPerPart),
                    sizeof(float) * (long)rows * step);
                depth += step;
            }
            while (depth < product.K);
        }
    }

    /// <summary>All blocks of B, in the order in which a product reads them.</summary>
    private void Pack<TKernel>(in Product product, float* packedB)
        where TKernel : unmanaged, IMicroKernel
    {
        int step = DepthOf(product.K);
        for (int column = 0; column < product.N; column += ColumnBlock)
        {
            for (int depth = 0; depth < product.K; depth += step)
            {
                Pack<TKernel>(new Block(
                    product, packedB + Offset<TKernel>(product, column, depth), column, Math.Min(ColumnBlock, product.N - column), depth,
                    Math.Min(step, product.K - depth)));
            }
        }
    }

    private void Pack<TKernel>(in Block block)
        where TKernel : unmanaged, IMicroKernel
    {
        int panels = PanelCount<TKernel>(block.Columns);
        int panelsPerTask = IsSmall(block.Product) ? panels : 4;
        _pool.Run(new PackJob<TKernel>(block, panelsPerTask, _round), (panels + panelsPerTask - 1) / panelsPerTask);
    }

    // Floats before the block at a column and a depth: whole column blocks, and the earlier depths of this one.
    private static long Offset<TKernel>(in Product product, int column, int depth)
        where TKernel : unmanaged, IMicroKernel =>
        ((long)column * product.K) + ((long)Panels.RoundUp(Math.Min(ColumnBlock, product.N - column), TKernel.Columns) * depth);

    private static int PanelCount<TKernel>(int columns)
        where TKernel : unmanaged, IMicroKernel => (columns + TKernel.Columns - 1) / TKernel.Columns;

    private static bool IsSmall(in Product product) => (long)product.M * product.N * product.K < 1 << 16;

    /// <summary>The part of a product that one packed block of B contributes.</summary>
    private readonly record struct Block(Product Product, nint Packed, int Column, int Columns, int Depth, int K)
    {
        public Block(in Product product, float* packed, int column, int columns, int depth, int k)
            : this(product, (nint)packed, column, columns, depth, k)
        {
        }
    }

    private readonly struct PackJob<TKernel>(Block block, int panelsPerTask, bool round) : IJob
        where TKernel : unmanaged, IMicroKernel
    {
        public void Run(int index, byte* scratch)
        {
            int first = index * panelsPerTask * TKernel.Columns;
            int lines = Math.Min(panelsPerTask * TKernel.Columns, block.Columns - first);
            Product p = block.Product;
            float* source = p.TransposeB
                ? p.B + ((long)(block.Column + first) * p.Ldb) + block.Depth
                : p.B + ((long)block.Depth * p.Ldb) + block.Column + first;
            float* packed = (float*)block.Packed + ((long)first * block.K);
            Panels.Pack(source, p.Ldb, !p.TransposeB, lines, block.K, TKernel.Columns, packed);
            if (round)
                Lanes.RoundToBFloat16(packed, packed, Panels.Size(lines, TKernel.Columns, block.K));
        }
    }

    private readonly struct TileJob<TKernel>(Block block, int rowsPerBlock, int rowBlocks, int panelsPerPart, bool round) : IJob
        where TKernel : unmanaged, IMicroKernel
    {
        public void Run(int index, byte* scratch)
        {
            Product p = block.Product;
            int row = index % rowBlocks * rowsPerBlock;
            int rows = Math.Min(rowsPerBlock, p.M - row);
            float* packedA = PackA(p, row, rows, (float*)scratch);
            float beta = block.Depth == 0 ? p.Beta : 1;
            bool streams = p.Streams && block.K == p.K;
            int first = index / rowBlocks * panelsPerPart * TKernel.Columns;
            int columns = Math.Min(panelsPerPart * TKernel.Columns, block.Columns - first);
            PackedProduct.Run<TKernel>(
                rows,
                columns,
                block.K,
                packedA,
                (long)TKernel.Rows * block.K,
                (float*)block.Packed + ((long)first * block.K),
                (long)TKernel.Columns * block.K,
                p.Alpha,
                beta,
                p.C + ((long)row * p.Ldc) + block.Column + first,
                p.Ldc,
                streams);
        }

        private float* PackA(in Product p, int row, int rows, float* packed)
        {
            float* source = p.TransposeA ? p.A + ((long)block.Depth * p.Lda) + row : p.A + ((long)row * p.Lda) + block.Depth;
            if (TKernel.Rows > 1)
            {
                Panels.Pack(source, p.Lda, p.TransposeA, rows, block.K, TKernel.Rows, packed);
                source = packed;
            }

            if (round)
            {
                Lanes.RoundToBFloat16(source, packed, Panels.Size(rows, TKernel.Rows, block.K));
                source = packed;
            }

            return source;
        }
    }
}
