using Forgetting.Core;
using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>
/// Shares of the files in what an epoch sees. An epoch has as many examples as the files have together, of each file its share.
/// Every file's examples come in rounds, each of them once a round; where an epoch ends within a round the next one goes on there.
/// What is of no file comes once an epoch.
/// </summary>
internal sealed class Mixture
{
    private readonly int[][] _places;
    private readonly int[] _once;

    /// <summary>The shares of examples by their <see cref="EncodedExample.Source"/>.</summary>
    /// <param name="examples">The examples, in order.</param>
    /// <param name="weights">Weights of the sources; shares are in proportion to them.</param>
    /// <exception cref="UserException">A source has no example, or no place in an epoch.</exception>
    public Mixture(IReadOnlyList<EncodedExample> examples, IReadOnlyList<double> weights)
    {
        ILookup<int?, int> bySource = examples.Select((e, i) => (e.Source, i)).ToLookup(e => e.Source, e => e.i);
        _once = [.. bySource[null]];
        _places = [.. weights.Select((_, source) => bySource[source].ToArray())];
        Counts = Divide(examples.Count - _once.Length, weights);
        for (int source = 0; source < weights.Count; source++)
        {
            if (_places[source].Length == 0 || Counts[source] == 0)
            {
                throw new UserException(
                    $"data-weights: file {source + 1} of data has {_places[source].Length} examples to train on, "
                    + $"and its share of an epoch is {Counts[source]}; expected at least one of each");
            }
        }
    }

    /// <summary>Examples of each source in an epoch.</summary>
    public IReadOnlyList<int> Counts { get; }

    /// <summary>Examples of each source.</summary>
    public IReadOnlyList<int> Sizes => [.. _places.Select(p => p.Length)];

    /// <summary>So many as evenly as whole numbers allow: by the largest remainders, the first of equal ones.</summary>
    public static int[] Divide(int total, IReadOnlyList<double> weights)
    {
        double sum = weights.Sum();
        double[] exact = [.. weights.Select(w => total * (w / sum))];
        int[] counts = [.. exact.Select(e => (int)e)];
        foreach (int i in Enumerable.Range(0, counts.Length).OrderByDescending(i => exact[i] - counts[i]).Take(total - counts.Sum()))
        {
            counts[i]++;
        }

        return counts;
    }

    /// <summary>What an epoch sees, source by source.</summary>
    /// <param name="shuffle">Whether the rounds of a source are in random order, each in another.</param>
    public int[] Epoch(int epoch, ulong seed, bool shuffle)
    {
        List<int> seen = [];
        for (int source = 0; source < _places.Length; source++)
        {
            int[] places = _places[source], order = [];
            long round = -1, first = (long)epoch * Counts[source];
            for (long at = first; at < first + Counts[source]; at++)
            {
                if (at / places.Length != round)
                {
                    round = at / places.Length;
                    order = shuffle
                        ? DataOrder.Permutation(places.Length, seed, (uint)round, (uint)source + 1)
                        : [.. Enumerable.Range(0, places.Length)];
                }

                seen.Add(places[order[at % places.Length]]);
            }
        }

        return [.. seen, .. _once];
    }
}
