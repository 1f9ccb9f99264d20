using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Forgetting.Backends.Cpu;

/// <summary>
/// Products by packing and blocking (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; Van Zee and
/// van de Geijn, "BLIS", 2015): a block of B, packed by all threads, stays in the shared cache; each task packs a block of A for its
/// thread's second-level cache and runs the micro-kernel over its tiles. The sum over k is split in a way that depends on k alone
/// (<see cref="DepthOf"/>), so a row of C has the same bits in every batch.
/// </summary>
internal sealed unsafe class ManagedProducts : IMatrixProducts
{
    // Most k per block: a panel of B of this depth, 24 KiB, fits the first-level cache.
    private const int MostDepth = 384;

    // 144 × 384 floats of A: less than half of a 512 KiB second-level cache. A multiple of both kernels' rows.
    private const int RowBlock = 144;

    // 4,096 × 384 floats of B: 6 MiB of the shared cache.
    private const int ColumnBlock = 4096;

    private readonly WorkerPool _pool;
    private readonly bool _wide;
    private readonly float* _packedB = (float*)NativeMemory.AlignedAlloc((nuint)sizeof(float) * MostDepth * ColumnBlock, 64);

    /// <summary>Products on the threads of <paramref name="pool"/>, with 512-bit registers where they are fast.</summary>
    public ManagedProducts(WorkerPool pool)
        : this(pool, Vector512.IsHardwareAccelerated)
    {
    }

    /// <summary>Products with the kernel chosen by the caller, for tests.</summary>
    internal ManagedProducts(WorkerPool pool, bool wide)
    {
        _pool = pool;
        _wide = wide;
    }

    /// <inheritdoc/>
    public string Name => _wide ? "managed (512-bit)" : "managed (256-bit)";

    /// <summary>
    /// k per block: equal parts, since each one reads and writes all of C, and a short rest would do so for little work.
    /// </summary>
    public static int DepthOf(int k)
    {
        int blocks = Math.Max((k + MostDepth - 1) / MostDepth, 1);
        return RoundUp(Math.Max((k + blocks - 1) / blocks, 1), 8);
    }

    /// <inheritdoc/>
    public void Gemm(
        bool transposeA, bool transposeB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc)
    {
        if (m == 0 || n == 0)
        {
            return;
        }

        var product = new Product(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        if (ThinProduct.Suits(product))
        {
            ThinProduct.Run(_pool, product);
        }
        else if (_wide)
        {
            Run<Kernel512>(product);
        }
        else
        {
            Run<Kernel256>(product);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => NativeMemory.AlignedFree(_packedB);

    private void Run<TKernel>(in Product product)
        where TKernel : unmanaged, IMicroKernel
    {
        // Rows in equal blocks rather than full ones and a rest.
        int rowBlocks = (product.M + RowBlock - 1) / RowBlock;
        int rows = RoundUp((product.M + rowBlocks - 1) / rowBlocks, TKernel.Rows);
        rowBlocks = (product.M + rows - 1) / rows;
        bool small = (long)product.M * product.N * product.K < 1 << 16;
        for (int column = 0; column < product.N; column += ColumnBlock)
        {
            int columns = Math.Min(ColumnBlock, product.N - column);
            int panels = (columns + TKernel.Columns - 1) / TKernel.Columns;

            // Enough tasks for the threads to even out, but no fewer than eight panels each: every task packs its block of A.
            int parts = small ? 1 : Math.Clamp(4 * _pool.Threads / rowBlocks, 1, Math.Max(panels / 8, 1));
            int panelsPerPart = (panels + parts - 1) / parts;
            int panelsPerPack = small ? panels : 4;
            int step = DepthOf(product.K);
            int depth = 0;
            do
            {
                var block = new Block(product, _packedB, column, columns, depth, Math.Min(step, product.K - depth));
                _pool.Run(new PackJob<TKernel>(block, panelsPerPack), (panels + panelsPerPack - 1) / panelsPerPack);
                _pool.Run(
                    new TileJob<TKernel>(block, rows, rowBlocks, panelsPerPart),
                    rowBlocks * ((panels + panelsPerPart - 1) / panelsPerPart),
                    sizeof(float) * (long)rows * step);
                depth += step;
            }
            while (depth < product.K);
        }
    }

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>The part of a product that one packed block of B contributes.</summary>
    private readonly record struct Block(Product Product, nint Packed, int Column, int Columns, int Depth, int K)
    {
        public Block(in Product product, float* packed, int column, int columns, int depth, int k)
            : this(product, (nint)packed, column, columns, depth, k)
        {
        }
    }

    private readonly struct PackJob<TKernel>(Block block, int panelsPerTask) : IJob
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
            Panels.Pack(source, p.Ldb, !p.TransposeB, lines, block.K, TKernel.Columns, (float*)block.Packed + ((long)first * block.K));
        }
    }

    private readonly struct TileJob<TKernel>(Block block, int rowsPerBlock, int rowBlocks, int panelsPerPart) : IJob
        where TKernel : unmanaged, IMicroKernel
    {
        public void Run(int index, byte* scratch)
        {
            Product p = block.Product;
            int row = index % rowBlocks * rowsPerBlock;
            int rows = Math.Min(rowsPerBlock, p.M - row);
            float* packedA = (float*)scratch;
            float* source = p.TransposeA ? p.A + ((long)block.Depth * p.Lda) + row : p.A + ((long)row * p.Lda) + block.Depth;
            Panels.Pack(source, p.Lda, p.TransposeA, rows, block.K, TKernel.Rows, packedA);

            float beta = block.Depth == 0 ? p.Beta : 1;
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
                p.Ldc);
        }
    }
}

/// <summary>The arguments of <see cref="IMatrixProducts.Gemm"/>.</summary>
internal readonly unsafe struct Product(
    bool transposeA, bool transposeB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc)
{
    public readonly bool TransposeA = transposeA;
    public readonly bool TransposeB = transposeB;
    public readonly int M = m;
    public readonly int N = n;
    public readonly int K = k;
    public readonly float Alpha = alpha;
    public readonly float Beta = beta;
    public readonly float* A = a;
    public readonly float* B = b;
    public readonly float* C = c;
    public readonly int Lda = lda;
    public readonly int Ldb = ldb;
    public readonly int Ldc = ldc;
}
