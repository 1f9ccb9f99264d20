using System.Globalization;
using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>
/// Writes a model's logits for given tokens as JSON, for comparison with <c>bench/peers/reference_forward.py</c>:
/// <c>logits MODEL ID,ID,… OUT.json</c>. Logits come from the path that generation takes, losses from the one that training takes.
/// </summary>
internal static class LogitsDump
{
    public static void Run(string model, string idList, string outFile)
    {
        int[] ids = [.. idList.Split(',').Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
        int[] places = [.. Enumerable.Range(0, ids.Length)];
        using var backend = new CpuBackend();
        using Checkpoint checkpoint = Checkpoint.Open(model);
        using var decoder = new Decoder(checkpoint.Config, backend, training: false);
        checkpoint.LoadInto(decoder.BaseParameters, backend);

        var losses = new float[ids.Length - 1];
        decoder.Forward(Batch(ids, places), losses);
        using var cache = new KeyValueCache(checkpoint.Config, backend, ids.Length);
        cache.Place(places, [0], [ids.Length]);
        Tensor logits = decoder.Logits(ids, places, [0, ids.Length], places, cache);
        var rows = new List<float[]>();
        for (int row = 0; row < logits.Rows; row++)
        {
            var values = new float[logits.Columns];
            backend.Download<float>(logits.RowRange(row, 1), values);
            rows.Add(values);
        }

        File.WriteAllText(outFile, JsonSerializer.Serialize(new { ids, losses, logits = rows }));
    }

    private static TokenBatch Batch(int[] ids, int[] places) => new()
    {
        Ids = ids,
        Positions = places,
        Offsets = [0, ids.Length],
        Examples = [0],
        RowKeys = places,
        HeadRows = places[..^1],
        HeadOffsets = [0, ids.Length - 1],
        Targets = ids[1..],
        Weights = new float[ids.Length - 1],
    };
}
