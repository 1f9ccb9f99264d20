using System.Text.Json;
using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>A real pretrained model against its golden file, which an independent float64 program computed.</summary>
public class GoldenStoriesTests
{
    private const double Tolerance = 1e-4;

    [SharedDataTheory]
    [InlineData("hf")]
    [InlineData("stories260K.bin")]
    public void Logits_losses_and_greedy_text_are_the_golden_ones(string checkpoint)
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(SharedData.Path("stories260K", "golden_greedy.json")));
        int bos = golden.RootElement.GetProperty("bos").GetInt32();
        int[] ids = Numbers("ids", element => element.GetInt32());
        double[] nll = Numbers("nll", element => element.GetDouble());
        double[] logits = Numbers("logits_pos0", element => element.GetDouble());

        using var backend = new CpuBackend();
        using Checkpoint file = Checkpoint.Open(SharedData.Path("stories260K", checkpoint));
        using var decoder = new Decoder(file.Config, backend, training: false);
        file.LoadInto(decoder.BaseParameters, backend);

        TokenBatch batch = Batches.Of([new Document([bos, .. ids], [.. Enumerable.Repeat(1f, ids.Length)])]);
        var losses = new float[ids.Length];
        var greedy = new int[ids.Length];
        decoder.Forward(batch, losses, greedy);
        Assert.Equal(ids, greedy);
        Assert.All(nll.Zip(losses), pair => Assert.Equal(pair.First, pair.Second, Tolerance));

        Assert.All(logits.Zip(FirstLogits(decoder, bos)), pair => Assert.Equal(pair.First, pair.Second, Tolerance));

        IReadOnlyList<int[]> generated =
            new Generator(decoder).Generate([[bos]], new GenerationOptions { MaxNewTokens = ids.Length, StopIds = [bos] });
        Assert.Equal(ids, generated[0]);

        T[] Numbers<T>(string name, Func<JsonElement, T> read) => [.. golden.RootElement.GetProperty(name).EnumerateArray().Select(read)];
    }

    private static float[] FirstLogits(Decoder decoder, int token)
    {
        using var cache = new KeyValueCache(decoder.Config, decoder.Backend, 1);
        cache.Place([0], [0], [1]);
        Tensor logits = decoder.Logits([token], [0], [0, 1], [0], cache);
        var values = new float[logits.Count];
        decoder.Backend.Download<float>(logits, values);
        return values;
    }
}
