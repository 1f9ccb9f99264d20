using Forgetting.Checkpoints.Gguf;
using Forgetting.Gguf;
using Forgetting.Models;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>What llama.cpp computes from exported models is what this program computes from theirs.</summary>
[Collection(TinyModels.Shared)]
public class GreedyTests(TinyModels models)
{
    private const int Count = 80, Prompt = 6;

    public static TheoryData<string> Names => [.. TinyModels.All.Keys];

    private static int[] Start => TinyModels.Sequence[..Prompt];

    [Theory]
    [MemberData(nameof(Names))]
    public void Llama_cpp_continues_an_exported_model_as_this_program_does(string name)
    {
        using var ours = new HeldModel(models[name]);
        int[] ids = ours.Greedy(Start, Count);
        Assert.Equal(TinyModels.Sequence[Prompt..(Prompt + Count)], ids); // learnt by heart

        using TemporaryFolder folder = new();
        foreach (GgufType type in (GgufType[])[GgufType.F32, GgufType.F16, GgufType.BF16])
        {
            string file = folder[$"{type}.gguf"];
            GgufExport.WriteModel(models[name], file, type);
            using var theirs = new LlamaCppModel(file);
            Assert.Equal(ids, theirs.Greedy(Start, Count));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Llama_cpp_continues_quantised_weights_as_this_program_does_the_values_they_stand_for(string name)
    {
        using TemporaryFolder folder = new();
        GgufExport.WriteModel(models[name], folder["model.gguf"], GgufType.Q8_0);
        using HeldModel ours = new HeldModel(models[name]).With(new GgufReader(folder["model.gguf"]));
        using var theirs = new LlamaCppModel(folder["model.gguf"]);
        Assert.Equal(ours.Greedy(Start, Count), theirs.Greedy(Start, Count));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Logits_are_the_same_at_every_place(string name)
    {
        using TemporaryFolder folder = new();
        GgufExport.WriteModel(models[name], folder["model.gguf"], GgufType.F32);
        using var ours = new HeldModel(models[name]);
        using var theirs = new LlamaCppModel(folder["model.gguf"]);

        // Tokens that the model has not learnt, up to near the end of the context: a wrong angle or a head out of place shows.
        var random = new Random(9);
        int[] ids = [.. Enumerable.Range(0, 180).Select(_ => random.Next(theirs.VocabularySize))];
        float[][] expected = ours.Logits(ids), found = theirs.Logits(ids);
        double scale = Math.Sqrt(expected.SelectMany(row => row).Average(v => (double)v * v));
        double error = expected.Zip(found).Max(rows => rows.First.Zip(rows.Second).Max(v => Math.Abs(v.First - v.Second)));

        // llama.cpp looks GELU up in a table of binary16, which has 11 bits.
        Assert.InRange(error / scale, 0, TinyModels.All[name].Config.Activation == ActivationKind.SwiGlu ? 1e-4 : 2e-2);
    }
}
