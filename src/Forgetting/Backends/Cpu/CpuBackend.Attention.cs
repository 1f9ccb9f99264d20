using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cpu;

internal sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Attention(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        Contract.Attention(shape, q, k, v, offsets, o, logSumExp);
        AttentionOverTiles(shape, q, k, v, offsets, offsets, default, o, logSumExp);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV)
    {
        Contract.AttentionBackward(shape, q, k, v, offsets, o, logSumExp, dO, delta, dQ, dK, dV);
        switch (VectorWidth.Bits)
        {
            case 512:
                Run<Kernel512>();
                break;
            case 256:
                Run<Kernel256>();
                break;
            default:
                Run<Kernel128>();
                break;
        }

        void Run<TKernel>()
            where TKernel : unmanaged, IMicroKernel
        {
            var job = new AttentionBackward<TKernel>(
                AttentionTiles.Of<TKernel>(shape, q.Stride, k.Stride), Floats(q), Floats(k), Floats(v), Ints(offsets), Floats(o),
                Floats(logSumExp), Floats(dO), Output(delta), Output(dQ), Output(dK), Output(dV));
            _pool.Run(job, ((int)offsets.Count - 1) * shape.KeyValueHeads, job.ScratchBytes);
        }
    }

    /// <inheritdoc/>
    public void AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        Contract.AttentionWithCache(shape, q, offsets, keys, values, starts, lengths, o);
        if (q.Rows != starts.Count || !IsDecoding(offsets))
        {
            AttentionOverTiles(shape, q, keys, values, offsets, starts, lengths, o, default);
            return;
        }

        if (starts.Count == 0)
            return;

        // Whole rows of keys and values stream best; heads part only where there are too few sequences for the threads.
        int sequences = (int)starts.Count;
        int parts = Math.Clamp((2 * _pool.Threads + sequences - 1) / sequences, 1, shape.KeyValueHeads);
        var job = new AttentionDecode(
            shape, Floats(q), q.Stride, Floats(keys), Floats(values), Ints(starts), Ints(lengths),
            (shape.KeyValueHeads + parts - 1) / parts, Output(o));
        _pool.Run(job, sequences * job.Parts, job.ScratchBytes(sequences));
    }

    // Whether every sequence has one new token.
    private static bool IsDecoding(Tensor offsets)
    {
        int* first = Ints(offsets);
        for (int s = 0; s + 1 < offsets.Count; s++)
        {
            if (first[s + 1] - first[s] != 1)
                return false;
        }

        return true;
    }

    private void AttentionOverTiles(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor starts, Tensor lengths, Tensor o,
        Tensor logSumExp)
    {
        switch (VectorWidth.Bits)
        {
            case 512:
                Run<Kernel512>();
                break;
            case 256:
                Run<Kernel256>();
                break;
            default:
                Run<Kernel128>();
                break;
        }

        void Run<TKernel>()
            where TKernel : unmanaged, IMicroKernel
        {
            var job = new AttentionForward<TKernel>(
                AttentionTiles.Of<TKernel>(shape, q.Stride, k.Stride), Floats(q), Floats(k), Floats(v), Ints(offsets),
                (int)offsets.Count - 1, Ints(starts), Ints(lengths), Output(o), Output(logSumExp));
            _pool.Run(job, job.Tasks, job.ScratchBytes);
        }
    }
}
