using Forgetting.Backends;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// What a tile of attention costs in instructions, which bounds its speed: 64 queries by 64 keys that all see each other, counted on two
/// lengths. The bounds are a little above what it cost when they were set; docs/performance.md has the figures.
/// </summary>
[Collection("emulation")]
public sealed class PtxCountTests
{
    [PtxTheory]
    [InlineData("attention", 64, 2, 560)]
    [InlineData("attention_queries", 64, 3, 650)]
    [InlineData("attention_keys", 64, 4, 910)]
    [InlineData("attention", 128, 2, 770)]
    [InlineData("attention_queries", 128, 3, 890)]
    [InlineData("attention_keys", 128, 4, 1310)]
    public void A_tile_of_attention_costs_no_more_than_it_did(string kernel, int headSize, int products, int most)
    {
        CudaLibrary.UseEmulation(Emulation.Driver);
        CudaEmulation.SetThreadOrder("forward");
        using var survey = CardSurvey.OfInterpreter(DType.BFloat16, Emulation.Ptx);
        using CudaBackend backend = survey.Take();
        var shape = new AttentionShape(1, 1, headSize, (float)(1 / Math.Sqrt(headSize)));

        // n tiles of queries see n(n − 1) / 2 whole tiles of keys, beside n on the diagonal; each is four warps' work.
        (long allOfFour, long matrixOfFour) = Count(4);
        (long allOfEight, long matrixOfEight) = Count(8);
        Assert.Equal(products * 64 * 64 * headSize / (16 * 8 * 16) / 4, (matrixOfEight - (2 * matrixOfFour)) / (28 - 12) / 4);
        Assert.InRange((allOfEight - (2 * allOfFour)) / (28 - 12) / 4, 1, most);

        (long All, long Matrix) Count(int tiles)
        {
            string name = $"{kernel}_{headSize}_bf16";
            long all = CudaEmulation.CountInstructions(name), matrix = CudaEmulation.CountInstructions(name, "mma");
            int[] offsets = [0, 64 * tiles];
            OperationCase work = kernel == "attention"
                ? AttentionCases.Forward(shape, offsets, "counted")
                : AttentionCases.Backward(shape, offsets, "counted");
            OperationRunner.Results(backend, work);
            return (CudaEmulation.CountInstructions(name) - all, CudaEmulation.CountInstructions(name, "mma") - matrix);
        }
    }

    // Four rows of 50,257 logits: the arg-max is one pass over a row, each cut three, and there is none where nothing is cut away. Shared
    // memory adds 32 bits at once; for 64 lanes with the same address take turns.
    [PtxTheory]
    [InlineData("4x50257 temperature 0 k 0 p 1", 115_000)]
    [InlineData("4x50257 temperature 1 k 0 p 1", 1_010_000)]
    [InlineData("4x50257 temperature 0.6 k 40 p 0.9", 1_780_000)]
    public void A_draw_costs_no_more_than_it_did(string variant, int most)
    {
        CudaLibrary.UseEmulation(Emulation.Driver);
        CudaEmulation.SetThreadOrder("forward");
        using var survey = CardSurvey.OfInterpreter(DType.BFloat16, Emulation.Ptx);
        using CudaBackend backend = survey.Take();
        OperationRunner.Results(backend, LossCases.All().Single(each => each.Operation == "Sample" && each.Variant == variant));
        Assert.InRange(CudaEmulation.CountInstructions("sample_bf16"), 1, most);
        Assert.Equal(0, CudaEmulation.CountInstructions("sample_bf16", "red.shared.add.u64"));
    }
}
