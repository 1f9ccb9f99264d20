using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, AdamWSettings settings,
        Tensor numbers)
    {
        Contract.AdamW8Bit(master, value, gradient, m, v, maps, numbers);
        var job = new AdamW8BitJob(
            Output(master), Output(gradient), (byte*)Output(m.Codes), Output(m.Scales), (byte*)Output(v.Codes), Output(v.Scales),
            Floats(maps), settings, Floats(numbers), master.Count);
        _pool.Run(job, Blocks(master.Count, AdamW8BitJob.Task));
        if (value.Pointer != master.Pointer)
            Copy(master, value);
    }

    // Block by block: moments to Float32, the step as without quantisation, and back.
    private readonly struct AdamW8BitJob(
        float* master, float* gradient, byte* m, float* mScales, byte* v, float* vScales, float* maps, AdamWSettings settings,
        float* numbers, long count) : IJob
    {
        public const int Task = 64 * Block;
        private const int Block = BlockwiseTensor.Block;

        public void Run(int index, byte* scratch)
        {
            float* midpoints = stackalloc float[2 * DynamicMap.Count], first = stackalloc float[Block], second = stackalloc float[Block];
            for (int i = 0; i + 1 < 2 * DynamicMap.Count; i++)
            {
                midpoints[i] = (maps[i] + maps[i + 1]) / 2;
            }

            long end = Math.Min((index + 1L) * Task, count);
            for (long start = (long)index * Task; start < end; start += Block)
            {
                int length = (int)Math.Min(Block, end - start);
                long block = start / Block;
                Dequantize(m + start, mScales[block], maps, length, first);
                Dequantize(v + start, vScales[block], maps + DynamicMap.Count, length, second);
                var step = new AdamWOperation(master + start, gradient + start, first, second, settings, numbers);
                for (int i = 0; i < length; i += Lanes.Count)
                {
                    step.Apply(i, Math.Min(Lanes.Count, length - i));
                }

                mScales[block] = Quantize(first, midpoints, length, m + start);
                vScales[block] = Quantize(second, midpoints + DynamicMap.Count, length, v + start);
            }
        }

        // What lies behind the values of a last block is set to 0.
        private static void Dequantize(byte* codes, float scale, float* map, int length, float* values)
        {
            for (int i = 0; i < length; i++)
            {
                values[i] = scale * map[codes[i]];
            }

            new Span<float>(values + length, Block - length).Clear();
        }

        private static float Quantize(float* values, float* midpoints, int length, byte* codes)
        {
            Vector256<float> most = Vector256<float>.Zero;
            for (int i = 0; i < Block; i += Lanes.Count)
            {
                most = Vector256.Max(most, Vector256.Abs(Vector256.Load(values + i)));
            }

            float scale = 0;
            for (int lane = 0; lane < Lanes.Count; lane++)
            {
                scale = Math.Max(scale, most.GetElement(lane));
            }

            var all = new ReadOnlySpan<float>(midpoints, DynamicMap.Count - 1);
            for (int i = 0; i < length; i++)
            {
                codes[i] = (byte)NearestCode.Of(scale > 0 ? values[i] / scale : 0, all);
            }

            return scale;
        }
    }
}
