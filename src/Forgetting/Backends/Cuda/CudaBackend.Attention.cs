using Forgetting.Core;
using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    // As in attention_cache.cu.
    private const int CacheSplits = 16;
    private const int CacheGroup = 4;
    private const int CacheHeadSize = 128;

    /// <inheritdoc/>
    public void Attention(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        Contract.Attention(shape, q, k, v, offsets, o, logSumExp);
        LaunchAttention(shape, q, k, v, offsets, default, default, o, logSumExp);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV)
    {
        Contract.AttentionBackward(shape, q, k, v, offsets, o, logSumExp, dO, delta, dQ, dK, dV);
        if (q.Rows == 0)
            return;

        var kernel = new AttentionKernel(shape, q.DType);
        int sequences = (int)offsets.Count - 1, slots = (q.Rows / kernel.Rows) + sequences;
        long headRows = (long)q.Rows * shape.Heads;
        _device.Launch(
            "attention_delta", Suffix(q.DType), new(Blocks(headRows, 8)), BlockThreads, 0, o, dO, delta, headRows, shape.HeadSize);
        _device.Launch(
            "attention_queries", kernel.Suffix, new(shape.Heads, slots), kernel.Threads, kernel.QueriesBytes,
            q, k, v, offsets, sequences, logSumExp, dO, delta, dQ, shape.Heads, shape.KeyValueHeads, shape.HeadSize, (long)q.Stride,
            (long)k.Stride, shape.Scale, shape.Window, shape.Cap);
        _device.Launch(
            "attention_keys", kernel.Suffix, new(shape.KeyValueHeads, slots), kernel.Threads, kernel.KeysBytes,
            q, k, v, offsets, sequences, logSumExp, dO, delta, dK, dV, shape.Heads, shape.KeyValueHeads, shape.HeadSize, (long)q.Stride,
            (long)k.Stride, shape.Scale, shape.Window, shape.Cap);
    }

    /// <inheritdoc/>
    public void AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        int sequences = Contract.AttentionWithCache(shape, q, offsets, keys, values, starts, lengths, o);
        // One new token a sequence: decoding, bound by reading the cache. More: a prompt, bound by the products.
        if (q.Rows == sequences && shape.HeadSize <= CacheHeadSize)
        {
            LaunchDecoding(shape, q, keys, values, starts, lengths, o);
        }
        else
        {
            LaunchAttention(shape, q, keys, values, offsets, starts, lengths, o, default);
        }
    }

    private void LaunchAttention(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor starts, Tensor lengths, Tensor o,
        Tensor logSumExp)
    {
        if (q.Rows == 0)
            return;

        var kernel = new AttentionKernel(shape, q.DType);
        int sequences = (int)offsets.Count - 1;
        _device.Launch(
            "attention", kernel.Suffix, new(shape.Heads, (q.Rows / kernel.Rows) + sequences), kernel.Threads,
            kernel.ForwardBytes, q, k, v, offsets, sequences, starts, lengths, o, logSumExp, shape.Heads, shape.KeyValueHeads,
            shape.HeadSize, (long)q.Stride, (long)k.Stride, shape.Scale, shape.Window, shape.Cap);
    }

    private void LaunchDecoding(AttentionShape shape, ColumnView q, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        int sequences = q.Rows, group = shape.Heads / shape.KeyValueHeads;
        if (sequences == 0)
            return;

        long splits = (long)sequences * shape.Heads * CacheSplits;
        nint statistics = Scratch(splits * (2 + shape.HeadSize) * sizeof(float));
        nint outputs = statistics + (nint)(splits * 2 * sizeof(float));
        _device.Launch(
            "cache_attention_partials", AttentionSuffix(shape.HeadSize <= 64 ? 64 : CacheHeadSize, shape.Cap > 0, q.DType),
            new(sequences, shape.KeyValueHeads * Blocks(group, CacheGroup), CacheSplits), 128, 0,
            q, keys, values, starts, lengths, shape.Heads, shape.KeyValueHeads, shape.HeadSize, (long)q.Stride, shape.Scale, shape.Window,
            shape.Cap, statistics, outputs);
        _device.Launch(
            "cache_attention_join", Suffix(q.DType), new(sequences, shape.Heads), 128, 0, statistics, outputs, o, shape.Heads,
            shape.HeadSize);
    }

    // What follows an operation's name. Whole strings, since a launch makes none.
    private static string AttentionSuffix(int columns, bool capped, DType type) => (columns, capped, type) switch
    {
        (32, false, DType.BFloat16) => "32_bf16",
        (32, true, DType.BFloat16) => "capped_32_bf16",
        (64, false, DType.BFloat16) => "64_bf16",
        (64, true, DType.BFloat16) => "capped_64_bf16",
        (128, false, DType.BFloat16) => "128_bf16",
        (128, true, DType.BFloat16) => "capped_128_bf16",
        (256, false, DType.BFloat16) => "256_bf16",
        (256, true, DType.BFloat16) => "capped_256_bf16",
        (64, false, DType.Float32) => "64_f32",
        (64, true, DType.Float32) => "capped_64_f32",
        (128, false, DType.Float32) => "128_f32",
        (128, true, DType.Float32) => "capped_128_f32",
        (256, false, DType.Float32) => "256_f32",
        (256, true, DType.Float32) => "capped_256_f32",
        _ => throw new ArgumentException($"no attention kernels for {columns} columns of {type}"),
    };

    /// <summary>
    /// Which of the attention kernels takes a head, and its launch as the tops of attention.cu,
    /// attention_backward.cu and attention_f32.cu say.
    /// </summary>
    private readonly struct AttentionKernel
    {
        private const int Largest = 256;
        private readonly bool _tensorCores;
        private readonly int _columns;

        public AttentionKernel(AttentionShape shape, DType type)
        {
            int headSize = shape.HeadSize;
            if (headSize > Largest)
            {
                throw new UserException(
                    $"head size {headSize}: the CUDA backend has attention kernels for heads of at most {Largest} columns");
            }

            _tensorCores = type == DType.BFloat16 && headSize <= 128;
            _columns = headSize switch
            {
                <= 32 when _tensorCores => 32,
                <= 64 when type == DType.Float32 || _tensorCores => 64,
                <= 128 when type == DType.Float32 || _tensorCores => 128,
                _ => Largest,
            };
            Suffix = AttentionSuffix(_columns, shape.Cap > 0, type);
        }

        public string Suffix { get; }

        public int Rows => _tensorCores ? 64 : _columns == Largest ? 16 : 32;

        public int Threads => _tensorCores ? 128 : 8 * Rows;

        public int ForwardBytes => _tensorCores ? 4 * Tile : (3 * Tile) + Weights;

        public int QueriesBytes => _tensorCores ? 4 * Tile : (4 * Tile) + Weights;

        public int KeysBytes => _tensorCores
            ? (2 * Tile) + (4 * QueryRows * (((_columns + 8) * 2) + sizeof(float)))
            : (4 * Tile) + (2 * Weights) + (2 * Rows * sizeof(float));

        private int QueryRows => _columns > 64 ? 32 : 64;

        private int Tile => _tensorCores ? Rows * (_columns + 8) * 2 : Rows * (_columns + 4) * sizeof(float);

        private int Weights => Rows * (Rows + 1) * sizeof(float);
    }
}
