using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse)
    {
        Contract.Rope(x, positions, cosine, sine, headSize);
        ForEachRow(
            new RopeRow(
                Output(x), x.Stride, Ints(positions), Floats(cosine), Floats(sine), x.Columns, headSize, cosine.Columns, inverse ? -1 : 1),
            x.Rows, x.Columns);
    }

    private readonly struct RopeRow(
        float* x, int stride, int* positions, float* cosine, float* sine, int columns, int headSize, int half, float sign) : IRowOperation
    {
        public void Apply(int row, byte* scratch)
        {
            float* cosines = cosine + ((long)positions[row] * half);
            float* sines = sine + ((long)positions[row] * half);
            float* first = x + ((long)row * stride);
            for (float* head = first; head < first + columns; head += headSize)
            {
                int i = 0;
                for (; i <= half - Lanes.Count; i += Lanes.Count)
                {
                    Turn(head + i, cosines + i, sines + i, Lanes.Count);
                }

                if (i < half)
                    Turn(head + i, cosines + i, sines + i, half - i);
            }
        }

        private void Turn(float* first, float* cosines, float* sines, int lanes)
        {
            Vector256<float> c = Lanes.Load(cosines, lanes);
            Vector256<float> s = Lanes.Load(sines, lanes) * sign;
            Vector256<float> a = Lanes.Load(first, lanes);
            Vector256<float> b = Lanes.Load(first + half, lanes);
            Lanes.Store(Lanes.MultiplyAdd(a, c, -(b * s)), first, lanes);
            Lanes.Store(Lanes.MultiplyAdd(b, c, a * s), first + half, lanes);
        }
    }
}
