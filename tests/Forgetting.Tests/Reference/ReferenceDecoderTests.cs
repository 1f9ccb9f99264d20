using System.Text.Json;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Reference;

/// <summary>The plain decoder that everything else is measured by, against numbers made elsewhere.</summary>
public class ReferenceDecoderTests
{
    [SharedDataFact]
    public void Stories260K_gives_the_golden_greedy_ids_losses_and_first_logits()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(SharedData.Path("stories260K", "golden_greedy.json")));
        int[] ids = [.. golden.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
        double[] expectedLosses = [.. golden.RootElement.GetProperty("nll").EnumerateArray().Select(loss => loss.GetDouble())];
        double[] expectedLogits = [.. golden.RootElement.GetProperty("logits_pos0").EnumerateArray().Select(logit => logit.GetDouble())];
        var config = new ModelConfig
        {
            Family = ModelFamilies.Llama,
            VocabularySize = 512,
            HiddenSize = 64,
            IntermediateSize = 172,
            Layers = 5,
            Heads = 8,
            KeyValueHeads = 4,
            HeadSize = 8,
            ContextLength = 512,
            TiedHead = true,
        };
        var decoder = new ReferenceDecoder(config, ReferenceCheckpoint.Read(SharedData.Path("stories260K", "hf", "model.safetensors")));
        int[] input = [golden.RootElement.GetProperty("bos").GetInt32(), .. ids];

        double[][] logits = decoder.Logits(input.AsSpan(..^1));
        double[] losses = decoder.Losses(input);

        Assert.Equal(256, ids.Length);
        Assert.Equal(ids, logits.Select(row => Array.IndexOf(row, row.Max())));
        // The file gives six decimals.
        Assert.All(expectedLosses, (expected, i) => Assert.Equal(expected, losses[i + 1], 1e-6));
        Assert.All(expectedLogits, (expected, i) => Assert.Equal(expected, logits[0][i], 1e-6));
    }
}
