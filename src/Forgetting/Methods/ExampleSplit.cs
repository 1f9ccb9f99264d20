using Forgetting.Data;
using Forgetting.Training;

namespace Forgetting.Methods;

/// <summary>Takes a share of a data set out of it at random; a rejected answer goes with the chosen one.</summary>
internal static class ExampleSplit
{
    /// <summary>The two parts, both in the order of the data; the first is the share.</summary>
    /// <param name="fraction">Share of the records, in (0, 1).</param>
    /// <param name="seed">Seed of the drawing.</param>
    /// <param name="stream">Stream of random numbers, which no epoch has.</param>
    public static (IReadOnlyList<EncodedExample> Taken, IReadOnlyList<EncodedExample> Others) Take(
        IReadOnlyList<EncodedExample> examples, double fraction, ulong seed, uint stream)
    {
        if (!ExampleLists.Any(examples, ExampleTraits.Rejected))
            return Divide(examples, [.. Enumerable.Range(0, examples.Count)], examples.Count);

        var record = new int[examples.Count];
        int records = 0;
        for (int i = 0; i < record.Length; i++)
        {
            // The chosen one may have been dropped.
            bool follows = i > 0 && examples[i].Rejected && examples[i - 1].Index == examples[i].Index - 1;
            record[i] = follows ? record[i - 1] : records++;
        }

        return Divide(examples, record, records);

        (IReadOnlyList<EncodedExample> Taken, IReadOnlyList<EncodedExample> Others) Divide(
            IReadOnlyList<EncodedExample> examples, int[] record, int records)
        {
            var taken = new bool[records];
            foreach (int drawn in DataOrder.Permutation(records, seed, stream).Take((int)Math.Round(fraction * records)))
            {
                taken[drawn] = true;
            }

            ILookup<bool, int> places = Enumerable.Range(0, record.Length).ToLookup(i => taken[record[i]]);
            return (ExampleLists.At(examples, [.. places[true]]), ExampleLists.At(examples, [.. places[false]]));
        }
    }
}
