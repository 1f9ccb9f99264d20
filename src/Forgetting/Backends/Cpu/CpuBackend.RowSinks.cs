using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Columns of a task in the sums over table rows; every task walks all tokens.
    private const int TableColumns = 64;

    /// <inheritdoc/>
    public void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default)
    {
        Contract.AccumulateRows(rows, dY, gradient, rounding);
        if (gradient.DType == DType.BFloat16)
        {
            int* all = stackalloc int[2] { 0, dY.Rows };
            int* next = LinkOccurrences(Ints(rows), dY.Rows, all, 1, gradient.Rows);
            _pool.Run(
                new AccumulateRoundedRowsJob(
                    Ints(rows), next, Floats(dY), dY.Rows, dY.Columns, (ushort*)Output(gradient), KeyOf(rounding.Key),
                    (uint)rounding.Stream),
                Blocks(dY.Columns, TableColumns));
            return;
        }

        _pool.Run(new AccumulateRowsJob(Ints(rows), Floats(dY), dY.Rows, dY.Columns, Output(gradient)), Blocks(dY.Columns, TableColumns));
    }

    /// <inheritdoc/>
    public void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
        Contract.SquareAccumulateRows(rows, dY, offsets, head, sum);
        int* next = LinkOccurrences(rows, offsets, sum.Rows);
        _pool.Run(
            new SquareAccumulateRowsJob(Ints(rows), next, Floats(dY), dY.Rows, dY.Columns, Floats(head), Output(sum)),
            Blocks(dY.Columns, TableColumns));
    }

    /// <inheritdoc/>
    public void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
        int n = Contract.ProjectRows(rows, dY, offsets, head, a, b, result);
        int* next = LinkOccurrences(rows, offsets, a.Rows);
        _pool.Run(
            new ProjectRowsJob(Ints(rows), next, Floats(dY), dY.Columns, Ints(offsets), Floats(head), Floats(a), Floats(b), Output(result)),
            n,
            sizeof(float) * (long)dY.Columns);
    }

    /// <inheritdoc/>
    public void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
        Contract.HeadRows(dLogits, x, headOffsets, rows, offsets, y);
        int* next = LinkOccurrences(rows, offsets, dLogits.Columns);
        int n = (int)offsets.Count - 1;
        ForEachRow(
            new HeadRow(
                Floats(dLogits), dLogits.Columns, Floats(x), Ints(headOffsets), Ints(rows), next, Ints(offsets), n, Output(y), y.Columns,
                RoundsOperands),
            y.Rows,
            (long)x.Columns * Math.Max(x.Rows / Math.Max(n, 1), 1));
    }

    /// <summary>
    /// For every token, the next token of its sequence with the same id: (next &lt;&lt; 1) | 1 for the first of its id, next
    /// &lt;&lt; 1 otherwise, next 0 meaning none.
    /// </summary>
    private int* LinkOccurrences(Tensor rows, Tensor offsets, int vocabulary) =>
        LinkOccurrences(Ints(rows), rows.Count, Ints(offsets), (int)offsets.Count - 1, vocabulary);

    // Of count tokens in n sequences.
    private int* LinkOccurrences(int* ids, long count, int* bounds, int n, int vocabulary)
    {
        int* next = _workspace.Take<int>(count + vocabulary);
        int* latest = next + count;
        new Span<int>(latest, vocabulary).Clear();
        for (int s = 0; s < n; s++)
        {
            for (int t = bounds[s + 1] - 1; t >= bounds[s]; t--)
            {
                next[t] = latest[ids[t]] << 1;
                latest[ids[t]] = t;
            }

            // Token 0 can be nobody's next, so that 0 is free to mean none; it is certainly the first of its id.
            for (int t = bounds[s]; t < bounds[s + 1]; t++)
            {
                next[t] |= latest[ids[t]] == t ? 1 : 0;
            }

            for (int t = bounds[s]; t < bounds[s + 1]; t++)
            {
                latest[ids[t]] = 0;
            }
        }

        return next;
    }

    private static bool IsFirst(int link) => (link & 1) != 0;

    /// <summary>sums[j] = Σ dY over a token and its later occurrences, in their order.</summary>
    private static void SumOccurrences(int* next, float* dY, int columns, int t, int column, int count, float* sums)
    {
        new ReadOnlySpan<float>(dY + ((long)t * columns) + column, count).CopyTo(new Span<float>(sums, count));
        for (int u = next[t] >> 1; u != 0; u = next[u] >> 1)
        {
            Lanes.AddScaled(sums, dY + ((long)u * columns) + column, 1, count);
        }
    }

    private readonly struct AccumulateRowsJob(int* rows, float* dY, int count, int columns, float* gradient) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            int column = index * TableColumns;
            int width = Math.Min(TableColumns, columns - column);
            for (int t = 0; t < count; t++)
            {
                Lanes.AddScaled(gradient + ((long)rows[t] * columns) + column, dY + ((long)t * columns) + column, 1, width);
            }
        }
    }

    private readonly struct SquareAccumulateRowsJob(int* rows, int* next, float* dY, int count, int columns, float* head, float* sum) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* g = stackalloc float[TableColumns];
            int column = index * TableColumns;
            int width = Math.Min(TableColumns, columns - column);
            for (int t = 0; t < count; t++)
            {
                if (!IsFirst(next[t]))
                    continue;

                SumOccurrences(next, dY, columns, t, column, width, g);
                float* target = sum + ((long)rows[t] * columns) + column;
                float* other = head == null ? null : head + ((long)t * columns) + column;
                for (int j = 0; j < width; j++)
                {
                    target[j] += g[j] * (g[j] + (other == null ? 0 : 2 * other[j]));
                }
            }
        }
    }

    private readonly struct ProjectRowsJob(
        int* rows, int* next, float* dY, int columns, int* offsets, float* head, float* a, float* b, float* result) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* g = (float*)scratch;
            double linear = 0;
            double quadratic = 0;
            for (int t = offsets[index]; t < offsets[index + 1]; t++)
            {
                if (!IsFirst(next[t]))
                    continue;

                SumOccurrences(next, dY, columns, t, 0, columns, g);
                float* other = head == null ? null : head + ((long)t * columns);
                float* first = a + ((long)rows[t] * columns);
                float* second = b + ((long)rows[t] * columns);
                for (int j = 0; j < columns; j++)
                {
                    linear += (double)first[j] * g[j];
                    quadratic += (double)second[j] * g[j] * (g[j] + (other == null ? 0 : 2 * other[j]));
                }
            }

            result[2 * index] = (float)(result[2 * index] + linear);
            result[(2 * index) + 1] = (float)(result[(2 * index) + 1] + quadratic);
        }
    }

    private readonly struct HeadRow(
        float* dLogits, int vocabulary, float* x, int* headOffsets, int* rows, int* next, int* offsets, int n, float* y, int columns,
        bool round) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* target = y + ((long)row * columns);
            new Span<float>(target, columns).Clear();
            if (!IsFirst(next[row]))
                return;

            // The sequence of this row: the last whose start is not beyond it.
            int s = new ReadOnlySpan<int>(offsets, n + 1).BinarySearch(row);
            s = s < 0 ? ~s - 1 : s;
            while (offsets[s + 1] == row)
            {
                s++;
            }

            for (int r = headOffsets[s]; r < headOffsets[s + 1]; r++)
            {
                float* source = x + ((long)r * columns);
                float factor = dLogits[((long)r * vocabulary) + rows[row]];
                if (round)
                {
                    // The same numbers that the head's own gradient is a product of: (head + G)² must not be missed by a rounding of head².
                    Lanes.AddScaledRounded(target, source, factor, columns);
                }
                else
                {
                    Lanes.AddScaled(target, source, factor, columns);
                }
            }
        }
    }
}
