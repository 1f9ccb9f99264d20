using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.IO;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

/// <remarks>
/// Per-example gradients of a matrix, tile by tile: for a tile of the weight's shape the examples follow one another through the
/// micro-kernel, and what it leaves, G_s on that tile, is squared or projected while it is still in the first-level cache. The work is
/// that of one weight gradient.
/// </remarks>
internal sealed unsafe partial class CpuBackend
{
    // The part of the weight's shape that is one task; multiples of all kernels' tiles.
    private const int SinkRows = 48;
    private const int SinkColumns = 128;

    // Most floats of dY or X packed at a time: 8 MiB each.
    private const int SinkPacked = 1 << 21;

    // Examples are taken in groups of about so many rows, whose panels stay in the second-level cache.
    private const int SinkGroupRows = 384;

    /// <inheritdoc/>
    public void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum)
    {
        Contract.SquareAccumulateMatrix(x, dY, offsets, sum);
        RunSink(x, dY, offsets, new SquareTile(Output(sum)), default);
    }

    /// <inheritdoc/>
    public void ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        Contract.ProjectMatrix(x, dY, offsets, a, b, result);
        RunSink(x, dY, offsets, new ProjectTile(Floats(a), Floats(b)), result);
    }

    private void RunSink<TTile>(ColumnView x, ColumnView dY, Tensor offsets, TTile tile, Tensor result)
        where TTile : unmanaged, ISinkTile
    {
        switch (VectorWidth.Bits)
        {
            case 512:
                RunSink<Kernel512, TTile>(x, dY, offsets, tile, result);
                break;
            case 256:
                RunSink<Kernel256, TTile>(x, dY, offsets, tile, result);
                break;
            default:
                RunSink<Kernel128, TTile>(x, dY, offsets, tile, result);
                break;
        }
    }

    private void RunSink<TKernel, TTile>(ColumnView x, ColumnView dY, Tensor offsets, TTile tile, Tensor result)
        where TKernel : unmanaged, IMicroKernel
        where TTile : unmanaged, ISinkTile
    {
        int t = x.Rows;
        int n = (int)offsets.Count - 1;
        int outBlock = BlockOf(dY.Columns, SinkRows);
        int inBlock = BlockOf(x.Columns, SinkColumns);
        int mostTasks = Blocks(outBlock, SinkRows) * Blocks(inBlock, SinkColumns);
        double* partial = _workspace.Take<double>(2L * n * mostTasks);
        float* packedX = _packing.Take<float>((long)(outBlock + inBlock) * t);
        float* packedY = packedX + ((long)inBlock * t);
        for (int column = 0; column < x.Columns; column += inBlock)
        {
            int columns = Math.Min(inBlock, x.Columns - column);
            _pool.Run(
                new PackColumns(Floats(x) + column, x.Stride, columns, t, TKernel.Columns, RoundsOperands, packedX),
                Blocks(columns, PackColumns.Lines));
            for (int row = 0; row < dY.Columns; row += outBlock)
            {
                int rows = Math.Min(outBlock, dY.Columns - row);
                _pool.Run(
                    new PackColumns(Floats(dY) + row, dY.Stride, rows, t, TKernel.Rows, RoundsOperands, packedY),
                    Blocks(rows, PackColumns.Lines));
                var job = new SinkJob<TKernel, TTile>(
                    packedX, packedY, t, Ints(offsets), n, row, rows, column, columns, x.Columns, tile, partial);
                int tasks = Blocks(rows, SinkRows) * Blocks(columns, SinkColumns);
                _pool.Run(job, tasks, 4 * sizeof(float) * TKernel.Rows * TKernel.Columns);
                if (!result.IsEmpty)
                    AddPartialSums(partial, tasks, Output(result), 2 * n);
            }
        }

        // Whole tasks, as many as may be packed at a time.
        int BlockOf(int size, int task) => Math.Clamp(SinkPacked / Math.Max(t, 1) / task, 1, Blocks(size, task)) * task;
    }

    /// <summary>result[i] += Σ over tasks of partial[task, i], in the order of the tasks.</summary>
    private static void AddPartialSums(double* partial, int tasks, float* result, int count)
    {
        for (int i = 0; i < count; i++)
        {
            double sum = 0;
            for (int task = 0; task < tasks; task++)
            {
                sum += partial[((long)task * count) + i];
            }

            result[i] = (float)(result[i] + sum);
        }
    }

    /// <summary>What is done with G_s on one tile of the micro-kernel's size.</summary>
    private interface ISinkTile
    {
        /// <summary>
        /// Prepares <paramref name="state"/>, three tiles of memory, for the tile at <paramref name="place"/> of the weight.
        /// </summary>
        void Begin(float* state, TilePlace place);

        /// <summary>Takes G_s, the first tile of <paramref name="state"/>.</summary>
        void Example(float* state, int size, double* sums);

        /// <summary>Ends the tile.</summary>
        void End(float* state, TilePlace place);
    }

    /// <summary>A tile's first element in a row-major matrix, its stride, and how much of the tile lies within the matrix.</summary>
    private readonly record struct TilePlace(long Start, int Stride, int Height, int Width, int TileColumns, int Size);

    private readonly struct PackColumns(float* source, int stride, int lines, int k, int width, bool round, float* destination) : IJob
    {
        // A multiple of the kernels' widths 6, 8, 12, 16 and 32.
        public const int Lines = 96;

        public void Run(int index, byte* scratch)
        {
            int first = index * Lines;
            int count = Math.Min(Lines, lines - first);
            float* packed = destination + ((long)first * k);
            Panels.Pack(source + first, stride, true, count, k, width, packed);
            if (round)
                Lanes.RoundToBFloat16(packed, packed, Panels.Size(count, width, k));
        }
    }

    private readonly struct SinkJob<TKernel, TTile>(
        float* packedX, float* packedY, int t, int* offsets, int n, int row, int rows, int column, int columns, int stride, TTile tile,
        double* partial) : IJob
        where TKernel : unmanaged, IMicroKernel
        where TTile : unmanaged, ISinkTile
    {
        public void Run(int index, byte* scratch)
        {
            int across = Blocks(columns, SinkColumns);
            int firstRow = index / across * SinkRows;
            int firstColumn = index % across * SinkColumns;
            double* sums = partial + (2L * n * index);
            new Span<double>(sums, 2 * n).Clear();
            for (int s = 0; s < n;)
            {
                int end = s + 1;
                while (end < n && offsets[end + 1] - offsets[s] <= SinkGroupRows)
                {
                    end++;
                }

                Group((float*)scratch, firstRow, firstColumn, s, end, sums);
                s = end;
            }
        }

        private void Group(float* state, int firstRow, int firstColumn, int start, int end, double* sums)
        {
            int size = TKernel.Rows * TKernel.Columns;
            for (int j = firstColumn; j < Math.Min(firstColumn + SinkColumns, columns); j += TKernel.Columns)
            {
                for (int i = firstRow; i < Math.Min(firstRow + SinkRows, rows); i += TKernel.Rows)
                {
                    var place = new TilePlace(
                        ((long)(row + i) * stride) + column + j,
                        stride,
                        Math.Min(TKernel.Rows, rows - i),
                        Math.Min(TKernel.Columns, columns - j),
                        TKernel.Columns,
                        size);
                    float* a = packedY + ((long)i * t);
                    float* b = packedX + ((long)j * t);
                    tile.Begin(state, place);
                    for (int s = start; s < end; s++)
                    {
                        TKernel.Run(
                            offsets[s + 1] - offsets[s],
                            a + ((long)offsets[s] * TKernel.Rows),
                            b + ((long)offsets[s] * TKernel.Columns),
                            TKernel.Columns,
                            new StoreTile(state, TKernel.Columns));
                        tile.Example(state, size, sums + (2 * s));
                    }

                    tile.End(state, place);
                }
            }
        }
    }

    private readonly struct StoreTile(float* tile, int stride) : ITileSink
    {
        public void Fetch(int row)
        {
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector128<float> value) => value.Store(tile + (row * stride) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector256<float> value) => value.Store(tile + (row * stride) + column);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Take(int row, int column, Vector512<float> value) => value.Store(tile + (row * stride) + column);
    }

    /// <summary>sum += Σ_s G_s².</summary>
    private readonly struct SquareTile(float* sum) : ISinkTile
    {
        public void Begin(float* state, TilePlace place) => new Span<float>(state + place.Size, place.Size).Clear();

        public void Example(float* state, int size, double* sums)
        {
            for (int i = 0; i < size; i += Lanes.Count)
            {
                Vector256<float> g = Vector256.Load(state + i);
                Lanes.MultiplyAdd(g, g, Vector256.Load(state + size + i)).Store(state + size + i);
            }
        }

        public void End(float* state, TilePlace place)
        {
            for (int i = 0; i < place.Height; i++)
            {
                float* target = sum + place.Start + ((long)i * place.Stride);
                for (int j = 0; j < place.Width; j += Lanes.Count)
                {
                    int lanes = Math.Min(Lanes.Count, place.Width - j);
                    Lanes.Store(
                        Lanes.Load(target + j, lanes) + Vector256.Load(state + place.Size + (i * place.TileColumns) + j), target + j,
                        lanes);
                }
            }
        }
    }

    /// <summary>Σ A∘G_s and Σ B∘G_s²: a lane sums a tile in Float32, everything above that is double.</summary>
    private readonly struct ProjectTile(float* a, float* b) : ISinkTile
    {
        public void Begin(float* state, TilePlace place)
        {
            Copy(a, state + place.Size, place);
            Copy(b, state + (2 * place.Size), place);
        }

        public void Example(float* state, int size, double* sums)
        {
            // Two chains each, or the latency of the additions would show.
            Vector256<float> linear0 = Vector256<float>.Zero, linear1 = linear0, quadratic0 = linear0, quadratic1 = linear0;
            for (int i = 0; i < size; i += 2 * Lanes.Count)
            {
                Vector256<float> g0 = Vector256.Load(state + i);
                Vector256<float> g1 = Vector256.Load(state + i + Lanes.Count);
                linear0 = Lanes.MultiplyAdd(Vector256.Load(state + size + i), g0, linear0);
                linear1 = Lanes.MultiplyAdd(Vector256.Load(state + size + i + Lanes.Count), g1, linear1);
                quadratic0 = Lanes.MultiplyAdd(Vector256.Load(state + (2 * size) + i) * g0, g0, quadratic0);
                quadratic1 = Lanes.MultiplyAdd(Vector256.Load(state + (2 * size) + i + Lanes.Count) * g1, g1, quadratic1);
            }

            sums[0] += Vector256.Sum(linear0 + linear1);
            sums[1] += Vector256.Sum(quadratic0 + quadratic1);
        }

        public void End(float* state, TilePlace place)
        {
        }

        private static void Copy(float* source, float* tile, TilePlace place)
        {
            new Span<float>(tile, place.Size).Clear();
            for (int i = 0; i < place.Height; i++)
            {
                new ReadOnlySpan<float>(source + place.Start + ((long)i * place.Stride), place.Width)
                    .CopyTo(new Span<float>(tile + (i * place.TileColumns), place.Width));
            }
        }
    }
}
