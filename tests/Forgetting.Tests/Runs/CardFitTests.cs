using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Runs;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

public sealed class CardFitTests
{
    private static readonly ModelConfig s_model =
        ReferenceConfigs.All["llama"] with { HiddenSize = 66, IntermediateSize = 260, Layers = 4, ContextLength = 1024 };

    private static readonly TrainingOptions s_options = new() { Lora = new() { Rank = 8 } };

    // What is said to fit does by the plan of that very run, and one text more or 64 tokens more do not.
    [Theory]
    [InlineData(0, 0, null, "adamw")]
    [InlineData(1, 0, null, "adamw8bit")]
    [InlineData(2, 0, null, "adamw8bit", true)]
    [InlineData(3, 8, null, "adamw")]
    [InlineData(4, 8, "nf4", "adamw")]
    public void What_fits_is_the_most_that_does(int row, int rank, string? baseDtype, string optimizer, bool narrow = false)
    {
        TrainingOptions run = s_options with
        {
            Method = TrainingMethod.Named("full"),
            Lora = new() { Rank = rank, BaseDtype = baseDtype },
            Optimizer = new() { Kind = optimizer, GradientDtype = narrow ? "bf16" : "fp32", NoMasters = narrow },
        };

        // Room for three texts of 512 tokens.
        long bytes = Peak(run, 3, 512) + CardFit.Reserve;
        CardFit fit = CardFit.Create(s_model, s_options, bytes)[row];
        Assert.Equal([512, 1024], CardFit.Lengths(s_model));
        Assert.Equal(3, fit.Batches[0]);
        Assert.True(Peak(run, fit.Batches[0] + 1, 512) + CardFit.Reserve > bytes);
        Assert.True(fit.Batches[1] >= 1 && fit.Longest == 1024);

        CardFit small = CardFit.Create(s_model, s_options, Peak(run, 1, 512) + CardFit.Reserve)[row];
        Assert.Equal([1, 0], small.Batches);
        Assert.InRange(small.Longest, 512, 1023);
        Assert.All(CardFit.Create(s_model, s_options, CardFit.Reserve)[row].Batches, most => Assert.Equal(0, most));
    }

    // The sizes that Llama 3.2 1B is published with, one text of 2,048 tokens at a time.
    [Fact]
    public void All_weights_of_a_model_of_a_billion_are_trained_in_ten_gigabytes()
    {
        ModelConfig config = s_model with
        {
            VocabularySize = 128256,
            HiddenSize = 2048,
            IntermediateSize = 8192,
            Layers = 16,
            Heads = 32,
            KeyValueHeads = 8,
            HeadSize = 64,
            ContextLength = 131072,
            TiedHead = true,
        };
        TrainingOptions options = s_options with
        {
            Method = TrainingMethod.Named("full"),
            Lora = new() { Rank = 0 },
            Data = new() { MaxLength = 2048 },
            Schedule = new() { BatchSize = 1 },
            Compute = new() { MicroBatchTokens = 2048, Recompute = true },
            Optimizer = new() { Kind = "adamw8bit", GradientDtype = "bf16", NoMasters = true },
        };
        MemoryPlan plan = MemoryPlan.Create(config, options, "cuda", DType.BFloat16, null);
        const long Matrices = 973_144_064, Table = 128256L * 2048;
        Assert.Equal(2 * (Matrices + Table), plan.Weights, 200_000d);

        // Gradients in 2 bytes; moments of matrices in 2 and a scale of 4 for 256 of each, of the table in 8.
        Assert.Equal((4 * Matrices) + (Matrices / 32) + (10 * Table), plan.State, 2_000_000d);
        Assert.InRange(plan.Peak, 9.0e9, 10.0e9);
    }

    private static long Peak(TrainingOptions run, int texts, int length)
    {
        TrainingOptions sized = run with
        {
            Data = new() { MaxLength = length },
            Schedule = new() { BatchSize = texts },
            Compute = new() { MicroBatchTokens = texts * length },
        };
        return MemoryPlan.Create(s_model, sized, "cuda", DType.BFloat16, TrainedModel.NewAdapter(sized, s_model)).Peak;
    }
}
