using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>
/// Which examples each optimiser step sees. The order of an epoch is a function of seed and epoch alone, so the number of steps done is all
/// that a resumed run needs to know. The last step of an epoch may be smaller. In explicit unlearning these are the examples that must go;
/// with them come as many that must stay, of which none comes twice before all have come, and the refusals.
/// </summary>
internal sealed class DataOrder
{
    private readonly int _examples;
    private readonly int _batchSize;
    private readonly ulong _seed;
    private readonly bool _shuffle;
    private readonly Mixture? _mixture;
    private readonly SetParts? _parts;
    private int _epoch = -1;
    private int[] _order = [];
    private int _retainEpoch = -1;
    private int[] _retainOrder = [];

    /// <summary>The order of <paramref name="examples"/> examples, <paramref name="batchSize"/> a step.</summary>
    /// <param name="parts">The parts of a set for explicit unlearning, or null.</param>
    public DataOrder(int examples, int batchSize, ulong seed, bool shuffle, Mixture? mixture = null, SetParts? parts = null)
    {
        _mixture = mixture;
        _parts = parts;
        _examples = examples;
        _batchSize = batchSize;
        _seed = seed;
        _shuffle = shuffle;
    }

    /// <summary>The order that the settings ask for.</summary>
    /// <exception cref="UserException">A file has no part in it.</exception>
    public static DataOrder From(TrainingSet set, TrainingOptions options) => new(
        set.Counted, options.Schedule.BatchSize, options.Seed, !options.Data.NoShuffle, MixtureOf(set.Examples, options), set.Parts);

    /// <summary>The shares of files that the settings ask for; null where they ask for none, or no example is of a file.</summary>
    /// <exception cref="UserException">A file has no part in it.</exception>
    public static Mixture? MixtureOf(IReadOnlyList<EncodedExample> examples, TrainingOptions options) =>
        options.Data.Weights.Count > 1 && ExampleLists.Any(examples, ExampleTraits.Source)
            ? new Mixture(examples, options.Data.Weights) : null;

    /// <summary>Most examples of a step.</summary>
    public int MaxAtOnce =>
        Math.Min(_batchSize, _examples) * (1 + (_parts is { Retain: > 0 } ? 1 : 0) + (_parts is { Refusals: true } ? 1 : 0));

    /// <summary>Optimiser steps of one pass over the data.</summary>
    public int StepsPerEpoch => (int)(((long)_examples + _batchSize - 1) / _batchSize);

    /// <summary>Examples of step <paramref name="step"/>, from 0.</summary>
    public ReadOnlySpan<int> At(int step)
    {
        int epoch = step / StepsPerEpoch;
        if (epoch != _epoch)
        {
            _order = _shuffle ? Permutation(_examples, _seed, (uint)epoch) : [.. Enumerable.Range(0, _examples)];
            if (_mixture?.Epoch(epoch, _seed, _shuffle) is { } seen)
                _order = Array.ConvertAll(_order, i => seen[i]);

            _epoch = epoch;
        }

        int start = step % StepsPerEpoch * _batchSize;
        ReadOnlySpan<int> chosen = _order.AsSpan(start, Math.Min(_batchSize, _examples - start));
        return _parts is null ? chosen : WithCompany(chosen, ((long)epoch * _examples) + start, _parts);
    }

    // "before" examples that must go, and so as many that must stay, have had their turn.
    private int[] WithCompany(ReadOnlySpan<int> chosen, long before, SetParts parts)
    {
        List<int> all = [.. chosen];
        for (int i = 0; i < chosen.Length && parts.Retain > 0; i++)
        {
            int epoch = (int)((before + i) / parts.Retain);
            if (epoch != _retainEpoch)
            {
                _retainOrder = _shuffle ? Permutation(parts.Retain, ~_seed, (uint)epoch) : [.. Enumerable.Range(0, parts.Retain)];
                _retainEpoch = epoch;
            }

            all.Add(parts.Forget + _retainOrder[(int)((before + i) % parts.Retain)]);
        }

        foreach (int place in chosen)
        {
            if (parts.Refusals)
                all.Add(parts.RefusalOf(place));
        }

        return [.. all];
    }

    /// <summary>
    /// A random permutation of 0 … count − 1, by Fisher and Yates, as a function of <paramref name="seed"/> and the stream.
    /// </summary>
    public static int[] Permutation(int count, ulong seed, uint stream, uint source = 0)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        for (int i = count - 1; i > 0; i--)
        {
            // 64 random bits scaled to [0, i]: the bias of the product is below 2⁻³².
            (uint low, uint high, _, _) = Philox.Words(seed, (uint)i, stream, source, RandomDomain.Order);
            ulong bits = ((ulong)high << 32) | low;
            int j = (int)Math.BigMul(bits, (ulong)i + 1, out _);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }
}
