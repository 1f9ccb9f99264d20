using Forgetting.Data;

namespace Forgetting.Tests.Models;

/// <summary>
/// A document of a test batch: tokens, and a signed weight for the prediction of each after the first (NaN: no head row).
/// </summary>
internal sealed record Document(int[] Ids, float[] Weights);

/// <summary>Ragged batches made by hand, without the library's encoder.</summary>
internal static class Batches
{
    /// <summary>Random documents; a few predictions have no head row, the others weights of both signs.</summary>
    public static Document[] Random(int vocabulary, int seed, params int[] lengths)
    {
        var random = new Random(seed);
        return [.. lengths.Select(length => new Document(
            [.. Enumerable.Range(0, length).Select(_ => random.Next(vocabulary))],
            [.. Enumerable.Range(0, length - 1).Select(_ => random.Next(5) == 0 ? float.NaN : (float)(random.NextDouble() - 0.4))]))];
    }

    /// <summary>Some of the documents as a batch; examples and row keys are those of the whole list.</summary>
    public static TokenBatch Of(Document[] documents, params int[] chosen)
    {
        chosen = chosen.Length == 0 ? [.. Enumerable.Range(0, documents.Length)] : chosen;
        List<int> ids = [], positions = [], offsets = [0], keys = [], headRows = [], headOffsets = [0], targets = [];
        List<float> weights = [], logs = [];
        foreach (int index in chosen)
        {
            Document document = documents[index];
            for (int t = 0; t < document.Ids.Length; t++)
            {
                if (t < document.Weights.Length && !float.IsNaN(document.Weights[t]))
                {
                    headRows.Add(ids.Count);
                    targets.Add(document.Ids[t + 1]);
                    weights.Add(document.Weights[t]);
                    logs.Add(-1 - 0.3f * ((index + t) % 5));
                }

                ids.Add(document.Ids[t]);
                positions.Add(t);
                keys.Add((index * 1000) + t);
            }

            offsets.Add(ids.Count);
            headOffsets.Add(headRows.Count);
        }

        return new TokenBatch
        {
            Ids = [.. ids],
            Positions = [.. positions],
            Offsets = [.. offsets],
            Examples = chosen,
            RowKeys = [.. keys],
            HeadRows = [.. headRows],
            HeadOffsets = [.. headOffsets],
            Targets = [.. targets],
            Weights = [.. weights],
            BaseLogProbabilities = [.. logs],
        };
    }
}
