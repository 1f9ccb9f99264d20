using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void SumOfSquares(Tensor x, Tensor result, int index) => Dot(x, x, result, index);

    /// <inheritdoc/>
    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        Contract.Dot(a, b, result, index);
        int tasks = Blocks(a.Count, DotJob.Task);
        double* partial = _workspace.Take<double>(tasks);
        if (a.DType == DType.BFloat16)
            _pool.Run(new NarrowDotJob((ushort*)a.Pointer, (ushort*)b.Pointer, a.Count, partial), tasks);
        else
            _pool.Run(new DotJob(Floats(a), Floats(b), a.Count, partial), tasks);

        double sum = 0;
        for (int i = 0; i < tasks; i++)
        {
            sum += partial[i];
        }

        Output(result)[index] = (float)(Floats(result)[index] + sum);
    }

    /// <inheritdoc/>
    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers)
    {
        Contract.AdamW(master, value, gradient, m, v, numbers);
        ForEach(new AdamWOperation(Output(master), Output(gradient), Output(m), Output(v), settings, Floats(numbers)), master.Count);
        if (value.Pointer != master.Pointer)
            Copy(master, value);
    }

    // Sums of 1,024 products in Float32, sums of those in double: the split depends on the length alone.
    private readonly struct DotJob(float* a, float* b, long count, double* partial) : IJob
    {
        public const int Task = 1 << 16;
        private const int Block = 1 << 10;

        public void Run(int index, byte* scratch)
        {
            long end = Math.Min((index + 1L) * Task, count);
            double sum = 0;
            for (long i = (long)index * Task; i < end; i += Block)
            {
                int length = (int)Math.Min(Block, end - i);
                sum += Lanes.Dot(a + i, b + i, length);
            }

            partial[index] = sum;
        }
    }

    // As DotJob, of BFloat16.
    private readonly struct NarrowDotJob(ushort* a, ushort* b, long count, double* partial) : IJob
    {
        private const int Block = 1 << 10;

        public void Run(int index, byte* scratch)
        {
            float* wideA = stackalloc float[Block], wideB = stackalloc float[Block];
            long end = Math.Min((index + 1L) * DotJob.Task, count);
            double sum = 0;
            for (long i = (long)index * DotJob.Task; i < end; i += Block)
            {
                int length = (int)Math.Min(Block, end - i);
                WidenRow(a + i, wideA, length);
                WidenRow(b + i, wideB, length);
                sum += Lanes.Dot(wideA, wideB, length);
            }

            partial[index] = sum;
        }
    }

    private readonly struct AdamWOperation : IElementwise
    {
        private readonly float* _master;
        private readonly float* _gradient;
        private readonly float* _m;
        private readonly float* _v;
        private readonly AdamWSettings _settings;
        private readonly float _gradientScale;
        private readonly float _decay;
        private readonly float _stepSize;
        private readonly float _rootCorrection;

        public AdamWOperation(float* master, float* gradient, float* m, float* v, AdamWSettings settings, float* numbers)
        {
            _master = master;
            _gradient = gradient;
            _m = m;
            _v = v;
            _settings = settings;
            _gradientScale = numbers[1];
            _decay = numbers[0] * settings.WeightDecay;

            // lr·m̂/(√v̂ + ε) = (lr/(1 − β₁ᵗ))·m / (√v/√(1 − β₂ᵗ) + ε).
            _stepSize = numbers[0] * numbers[2];
            _rootCorrection = MathF.Sqrt(numbers[3]);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes)
        {
            Vector256<float> g = Lanes.Load(_gradient + i, lanes) * _gradientScale;
            Vector256<float> m = Lanes.Load(_m + i, lanes);
            Vector256<float> v = Lanes.Load(_v + i, lanes);
            Vector256<float> master = Lanes.Load(_master + i, lanes);
            m = Lanes.MultiplyAdd(Vector256.Create(1 - _settings.Beta1), g - m, m);
            v = Lanes.MultiplyAdd(Vector256.Create(1 - _settings.Beta2), (g * g) - v, v);
            Vector256<float> root =
                Lanes.MultiplyAdd(Vector256.Sqrt(v), Vector256.Create(_rootCorrection), Vector256.Create(_settings.Epsilon));
            Vector256<float> decayed = master - (master * _decay);
            Lanes.Store(decayed - (m / root * _stepSize), _master + i, lanes);
            Lanes.Store(m, _m + i, lanes);
            Lanes.Store(v, _v + i, lanes);
            Lanes.Store(Vector256<float>.Zero, _gradient + i, lanes);
        }
    }
}
