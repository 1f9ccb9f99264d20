using Forgetting.Backends;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>
/// Which examples each optimiser step sees. The order of an epoch is a function of seed and epoch alone, so the number of steps done is all that a
/// resumed run needs to know. The last step of an epoch may be smaller.
/// </summary>
internal sealed class DataOrder
{
    private readonly int _examples;
    private readonly int _batchSize;
    private readonly ulong _seed;
    private readonly bool _shuffle;
    private int _epoch = -1;
    private int[] _order = [];

    /// <summary>The order of <paramref name="examples"/> examples, <paramref name="batchSize"/> a step.</summary>
    public DataOrder(int examples, int batchSize, ulong seed, bool shuffle)
    {
        _examples = examples;
        _batchSize = batchSize;
        _seed = seed;
        _shuffle = shuffle;
    }

    /// <summary>Optimiser steps of one pass over the data.</summary>
    public int StepsPerEpoch => (int)(((long)_examples + _batchSize - 1) / _batchSize);

    /// <summary>Examples of step <paramref name="step"/>, from 0.</summary>
    public ReadOnlySpan<int> At(int step)
    {
        int epoch = step / StepsPerEpoch;
        if (epoch != _epoch)
        {
            _order = _shuffle ? Permutation(_examples, _seed, (uint)epoch) : [.. Enumerable.Range(0, _examples)];
            _epoch = epoch;
        }

        int start = step % StepsPerEpoch * _batchSize;
        return _order.AsSpan(start, Math.Min(_batchSize, _examples - start));
    }

    /// <summary>A random permutation of 0 … count − 1, by Fisher and Yates, as a function of <paramref name="seed"/> and <paramref name="stream"/>.</summary>
    public static int[] Permutation(int count, ulong seed, uint stream)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        for (int i = count - 1; i > 0; i--)
        {
            // 64 random bits scaled to [0, i]: the bias of the product is below 2⁻³².
            (uint low, uint high, _, _) = Philox.Words(seed, (uint)i, stream, 0, RandomDomain.Order);
            ulong bits = ((ulong)high << 32) | low;
            int j = (int)Math.BigMul(bits, (ulong)i + 1, out _);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }
}
