using Forgetting.Checkpoints.Gguf;
using Forgetting.Methods;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>What llama.cpp computes from exported models is what this program computes from theirs.</summary>
public class GreedyTests(TinyModels models) : IClassFixture<TinyModels>
{
    private const int Count = 80, Prompt = 6;

    public static TheoryData<string> Names => [.. TinyModels.All.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Llama_cpp_continues_an_exported_model_as_this_program_does(string name)
    {
        int[] prompt = TinyModels.Sequence[..Prompt];
        int[] ours = TinyModels.Greedy(models[name], prompt, Count);
        Assert.Equal(TinyModels.Sequence[Prompt..(Prompt + Count)], ours); // learnt by heart

        using TemporaryFolder folder = new();
        foreach (GgufType type in (GgufType[])[GgufType.F32, GgufType.F16, GgufType.BF16])
        {
            GgufExport.WriteModel(models[name], folder[$"{type}.gguf"], type);
            using var theirs = new LlamaCppModel(folder[$"{type}.gguf"]);
            Assert.Equal(ours, theirs.Greedy(prompt, Count));
        }
    }
}
