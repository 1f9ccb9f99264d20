using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void StochasticRound(Tensor x, Tensor y, bool add, Rounding rounding)
    {
        Contract.StochasticRound(x, y, rounding);
        var job = new StochasticRoundJob(
            Floats(x), (ushort*)Output(y), x.Count, add, KeyOf(rounding.Key), (uint)rounding.Stream);
        _pool.Run(job, Blocks(x.Count, StochasticRoundJob.Task));
    }

    private static ulong KeyOf(Tensor key) => ((ulong)(uint)Ints(key)[1] << 32) | (uint)Ints(key)[0];

    // Up by the 16 random bits' carry; what is no number, and infinity, to the nearest.
    private static ushort RoundedBy(float value, ushort random)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsFinite(value) ? (ushort)((bits + random) >> 16) : BFloat16Of(value);
    }

    private readonly struct StochasticRoundJob(float* x, ushort* y, long count, bool add, ulong key, uint stream) : IJob
    {
        public const int Task = 1 << 14;
        private const int Block = 2 * PhiloxLanes.Words;

        public void Run(int index, byte* scratch)
        {
            uint* words = stackalloc uint[PhiloxLanes.Words];
            var random = (ushort*)words;
            long end = Math.Min((index + 1L) * Task, count);
            for (long start = (long)index * Task; start < end; start += Block)
            {
                // Tasks begin at multiples of 2¹⁴ elements, so that the low half of the counter grows within a block without a carry.
                PhiloxLanes.Draw(key, stream, (uint)(start / 8), (uint)((start / 8) >> 32), words);
                int length = (int)Math.Min(Block, end - start);
                for (int i = 0; i < length; i++)
                {
                    float value = add ? x[start + i] + BitConverter.UInt32BitsToSingle((uint)y[start + i] << 16) : x[start + i];
                    y[start + i] = RoundedBy(value, random[i]);
                }
            }
        }
    }

    // Each table row that is looked up is the affair of its first token, which adds up all of them.
    private readonly struct AccumulateRoundedRowsJob(
        int* rows, int* next, float* dY, int count, int columns, ushort* gradient, ulong key, uint stream) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            float* g = stackalloc float[TableColumns];
            uint* words = stackalloc uint[4];
            var random = (ushort*)words;
            int column = index * TableColumns, width = Math.Min(TableColumns, columns - column);
            for (int t = 0; t < count; t++)
            {
                if (!IsFirst(next[t]))
                    continue;

                SumOccurrences(next, dY, columns, t, column, width, g);
                long first = ((long)rows[t] * columns) + column, drawn = -1;
                for (int j = 0; j < width; j++)
                {
                    long i = first + j;
                    if (i / 8 != drawn)
                    {
                        drawn = i / 8;
                        (words[0], words[1], words[2], words[3]) = Philox.Words(key, stream, (uint)drawn, (uint)(drawn >> 32), 0);
                    }

                    gradient[i] = RoundedBy(g[j] + BitConverter.UInt32BitsToSingle((uint)gradient[i] << 16), random[i % 8]);
                }
            }
        }
    }
}
