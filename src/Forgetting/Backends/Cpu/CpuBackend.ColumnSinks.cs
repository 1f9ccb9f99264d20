using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    // Columns of a task: two cache lines of a row.
    private const int SumColumns = 32;

    /// <inheritdoc/>
    public void AccumulateColumns(ColumnView dY, Tensor gradient)
    {
        Contract.AccumulateColumns(dY, gradient);
        _pool.Run(new AccumulateColumnsJob(Floats(dY), dY.Stride, dY.Rows, dY.Columns, Output(gradient)), Blocks(dY.Columns, SumColumns));
    }

    /// <inheritdoc/>
    public void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum)
    {
        Contract.SquareAccumulateColumns(dY, offsets, sum);
        _pool.Run(
            new SquareAccumulateColumnsJob(Floats(dY), dY.Stride, dY.Columns, Ints(offsets), (int)offsets.Count - 1, Output(sum)),
            Blocks(dY.Columns, SumColumns));
    }

    /// <inheritdoc/>
    public void ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        int n = Contract.ProjectColumns(dY, offsets, a, b, result);
        _pool.Run(new ProjectColumnsJob(Floats(dY), dY.Stride, dY.Columns, Ints(offsets), Floats(a), Floats(b), Output(result)), n);
    }

    /// <summary>
    /// sums[j] = Σ of column + j over rows start … end − 1, j &lt; <see cref="SumColumns"/>; partial sums of 128 rows keep the error small.
    /// </summary>
    private static void SumRows(float* x, int stride, int columns, int column, int start, int end, float* sums)
    {
        const int Group = 128;
        int count = Math.Min(SumColumns, columns - column);
        for (int j = 0; j < SumColumns; j += Lanes.Count)
        {
            int lanes = Math.Min(Lanes.Count, count - j);
            Vector256<float> total = Vector256<float>.Zero;
            for (int first = start; first < end && lanes > 0; first += Group)
            {
                Vector256<float> partial = Vector256<float>.Zero;
                for (int row = first; row < Math.Min(first + Group, end); row++)
                {
                    partial += Lanes.Load(x + ((long)row * stride) + column + j, lanes);
                }

                total += partial;
            }

            total.Store(sums + j);
        }
    }

    private readonly struct AccumulateColumnsJob(float* dY, int stride, int rows, int columns, float* gradient) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* sums = stackalloc float[SumColumns];
            int column = index * SumColumns;
            SumRows(dY, stride, columns, column, 0, rows, sums);
            for (int j = 0; j < Math.Min(SumColumns, columns - column); j++)
            {
                gradient[column + j] += sums[j];
            }
        }
    }

    private readonly struct SquareAccumulateColumnsJob(float* dY, int stride, int columns, int* offsets, int n, float* sum) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* sums = stackalloc float[SumColumns];
            int column = index * SumColumns;
            for (int s = 0; s < n; s++)
            {
                SumRows(dY, stride, columns, column, offsets[s], offsets[s + 1], sums);
                for (int j = 0; j < Math.Min(SumColumns, columns - column); j++)
                {
                    sum[column + j] += sums[j] * sums[j];
                }
            }
        }
    }

    private readonly struct ProjectColumnsJob(float* dY, int stride, int columns, int* offsets, float* a, float* b, float* result) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* sums = stackalloc float[SumColumns];
            double linear = 0;
            double quadratic = 0;
            for (int column = 0; column < columns; column += SumColumns)
            {
                SumRows(dY, stride, columns, column, offsets[index], offsets[index + 1], sums);
                for (int j = 0; j < Math.Min(SumColumns, columns - column); j++)
                {
                    linear += (double)a[column + j] * sums[j];
                    quadratic += (double)b[column + j] * sums[j] * sums[j];
                }
            }

            result[2 * index] = (float)(result[2 * index] + linear);
            result[(2 * index) + 1] = (float)(result[(2 * index) + 1] + quadratic);
        }
    }
}
