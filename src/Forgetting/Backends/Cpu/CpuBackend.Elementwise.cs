using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <summary>What happens to elements i … i + lanes − 1, lanes being 8 except at the very end.</summary>
    private interface IElementwise
    {
        void Apply(long i, int lanes);
    }

    /// <inheritdoc/>
    public void Axpy(float alpha, Tensor x, Tensor y)
    {
        Contract.Axpy(x, y);
        ForEach(new AxpyOperation(alpha, Floats(x), Output(y)), y.Count);
    }

    /// <inheritdoc/>
    public void Scale(Tensor x, float alpha) => ForEach(new ScaleOperation(Output(x), alpha), x.Count);

    /// <inheritdoc/>
    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        Contract.Multiply(a, b, y);
        ForEach(new MultiplyOperation(Floats(a), Floats(b), Output(y)), y.Count);
    }

    private void ForEach<T>(T operation, long count)
        where T : unmanaged, IElementwise =>
        _pool.Run(new ElementwiseJob<T>(operation, count), Blocks(count, ElementwiseJob<T>.Block));

    private readonly struct ElementwiseJob<T>(T operation, long count) : IJob
        where T : unmanaged, IElementwise
    {
        // Some microseconds of work, and a multiple of the vector's length.
        public const int Block = 1 << 14;

        public void Run(int index, byte* scratch)
        {
            long i = (long)index * Block;
            long end = Math.Min(i + Block, count);
            for (; i <= end - Lanes.Count; i += Lanes.Count)
            {
                operation.Apply(i, Lanes.Count);
            }

            if (i < end)
                operation.Apply(i, (int)(end - i));
        }
    }

    private readonly struct AxpyOperation(float alpha, float* x, float* y) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes) =>
            Lanes.Store(Lanes.MultiplyAdd(Vector256.Create(alpha), Lanes.Load(x + i, lanes), Lanes.Load(y + i, lanes)), y + i, lanes);
    }

    private readonly struct ScaleOperation(float* x, float alpha) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes) => Lanes.Store(Lanes.Load(x + i, lanes) * alpha, x + i, lanes);
    }

    private readonly struct MultiplyOperation(float* a, float* b, float* y) : IElementwise
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(long i, int lanes) => Lanes.Store(Lanes.Load(a + i, lanes) * Lanes.Load(b + i, lanes), y + i, lanes);
    }
}
