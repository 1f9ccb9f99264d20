using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    private void Dequantize(Tensor weight, WeightPart part, float* values)
    {
        var layout = new NormalFloat4Layout(weight.Count);
        _pool.Run(new DequantizeJob((byte*)weight.Pointer, layout, part, values), Blocks(part.Rows, part.TaskRows));
    }

    private readonly struct DequantizeJob(byte* weight, NormalFloat4Layout layout, WeightPart part, float* values) : IJob
    {
        public void Run(int index, byte* scratch)
        {
            int rows = part.TaskRows, end = Math.Min(part.Rows, (index + 1) * rows);
            for (int row = index * rows; row < end; row++)
            {
                Row(part.First + ((long)row * part.Stride), values + ((long)row * part.Columns));
            }
        }

        private void Row(long element, float* row)
        {
            var levels = (float*)(weight + NormalFloat4Layout.Levels);
            var map = (float*)(weight + NormalFloat4Layout.Map);
            var groups = (float*)(weight + NormalFloat4Layout.Groups);
            float offset = *(float*)(weight + NormalFloat4Layout.Offset);
            byte* codes = weight + layout.Codes, scaleCodes = weight + layout.ScaleCodes;
            for (int column = 0; column < part.Columns;)
            {
                (long block, long within) = Math.DivRem(element, NormalFloat4Layout.Block);
                float scale = (map[scaleCodes[block]] * groups[block / NormalFloat4Layout.Group]) + offset;
                int count = (int)Math.Min(part.Columns - column, NormalFloat4Layout.Block - within);
                for (int i = 0; i < count; i++, element++)
                {
                    row[column + i] = levels[(codes[element / 2] >> (element % 2 == 0 ? 4 : 0)) & 15] * scale;
                }

                column += count;
            }
        }
    }
}
