using Forgetting.Backends;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>What a step must not depend on: batching, recomputation, what came before; and what it must not allocate.</summary>
public class DecoderStepTests
{
    private static readonly LoraConfig s_droppedLora = new() { Rank = 3, Alpha = 5, Dropout = 0.3 };
    private static readonly int[][] s_singles = [[0], [1], [2], [3]];

    [Theory]
    [MemberData(nameof(TestModel.WithAndWithoutLora), MemberType = typeof(TestModel))]
    public void Documents_together_or_one_by_one_give_the_same_gradient(string name, bool lora)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], lora ? s_droppedLora : null);
        float[][] together = Gradients(model, [[0, 1, 2, 3]], out float[] losses);
        float[][] apart = Gradients(model, s_singles, out float[] lossesApart);
        float[][] reordered = Gradients(model, [[3, 1], [2, 0]], out _);

        Assert.Equal(losses, lossesApart);
        AssertClose(model, together, apart, 1e-5);
        AssertClose(model, together, reordered, 1e-5);
    }

    [Theory]
    [MemberData(nameof(TestModel.WithAndWithoutLora), MemberType = typeof(TestModel))]
    public void Recomputing_blocks_gives_the_same_bits_in_less_memory(string name, bool lora)
    {
        ModelConfig config = ReferenceConfigs.All[name] with { Layers = 6, Windows = [], RotaryLayers = [] };
        using var model = new TestModel(config, lora ? s_droppedLora : null);
        using var other = new TestModel(config, lora ? s_droppedLora : null);
        float[][] kept = Gradients(model, [[0, 1, 2, 3]], out float[] losses);
        float[][] recomputed = Gradients(other, [[0, 1, 2, 3]], out float[] again, recompute: true);

        Assert.Equal(losses, again);
        Assert.Equal(kept, recomputed);
        Assert.True(other.Decoder.Activations.PeakBytes < 0.6 * model.Decoder.Activations.PeakBytes);
    }

    [Fact]
    public void The_dropout_seed_changes_the_masks_and_none_means_no_dropout()
    {
        using var dropped = new TestModel(ReferenceConfigs.All["llama"], s_droppedLora);
        using var plain = new TestModel(ReferenceConfigs.All["llama"], s_droppedLora with { Dropout = 0 });
        float[][] first = Gradients(dropped, [[0, 1, 2, 3]], out float[] losses, dropoutSeed: 1);
        Assert.Equal(first, Gradients(dropped, [[0, 1, 2, 3]], out _, dropoutSeed: 1));
        Assert.NotEqual(first, Gradients(dropped, [[0, 1, 2, 3]], out float[] otherLosses, dropoutSeed: 2));
        Assert.NotEqual(losses, otherLosses);

        Assert.Equal(Gradients(plain, [[0, 1, 2, 3]], out losses), Gradients(dropped, [[0, 1, 2, 3]], out otherLosses, dropoutSeed: null));
        Assert.Equal(losses, otherLosses);
    }

    // Finite differences with the mask held fixed: the objective is the library's own forward, in Float32, so the
    // step is large and the tolerance wide.
    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void Gradients_through_dropout_match_differences_of_the_objective(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], s_droppedLora);
        TokenBatch batch = Batches.Of(Documents(model));
        float[][] gradients = Gradients(model, [[0, 1, 2, 3]], out _, kind: AscentKind.Ascent);
        foreach ((Parameter parameter, float[] gradient) in model.Decoder.TrainableParameters.Zip(gradients))
        {
            float[] values = model.Read(parameter);
            float largest = gradient.Max(Math.Abs);
            int element = Array.FindIndex(gradient, g => Math.Abs(g) == largest);
            double derivative = (Objective(0.01f) - Objective(-0.01f)) / 0.02;
            Assert.True(
                Math.Abs(derivative - gradient[element]) < 0.01 * (largest + 0.01), $"{parameter}: {derivative} and {gradient[element]}");

            double Objective(float change)
            {
                float[] changed = [.. values];
                changed[element] += change;
                parameter.SetRows(model.Backend, 0, changed);
                var losses = new float[batch.HeadRows.Length];
                model.Decoder.ForwardBackward(batch, default, new AccumulateSink(model.Backend), losses, dropoutSeed: 7);
                parameter.SetRows(model.Backend, 0, values);
                return losses.Zip(batch.Weights, (loss, weight) => (double)loss * weight).Sum();
            }
        }
    }

    [Theory]
    [InlineData("llama", false, false)]
    [InlineData("qwen3", false, false)]
    [InlineData("olmo2", false, true)]
    [InlineData("gemma2", false, false)]
    [InlineData("gpt2", true, true)]
    public void The_second_step_allocates_nothing(string name, bool lora, bool recompute)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], lora ? s_droppedLora : null);
        TokenBatch batch = Batches.Of(Documents(model));
        var sink = new AccumulateSink(model.Backend);
        var losses = new float[batch.HeadRows.Length];
        Step();
        Step();
        long reserved = model.Decoder.Activations.ReservedBytes;
        long before = GC.GetAllocatedBytesForCurrentThread();
        Step();
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(0, allocated);
        Assert.Equal(reserved, model.Decoder.Activations.ReservedBytes);

        void Step()
        {
            model.Decoder.ZeroGradients();
            model.Decoder.ForwardBackward(batch, default, sink, losses, dropoutSeed: 3, recompute);
            model.Decoder.Forward(batch, losses);
        }
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void A_merged_adapter_gives_the_same_losses_and_is_trained_no_more(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], s_droppedLora with { RankStabilized = true });
        TokenBatch batch = Batches.Of(Documents(model));
        var apart = new float[batch.HeadRows.Length];
        var merged = new float[apart.Length];
        float[] weight = model.Read(model.Decoder.BaseParameters.First(p => p.Kind == ParameterKind.Matrix));
        model.Decoder.Forward(batch, apart);
        model.Decoder.MergeAdapter();
        model.Decoder.Forward(batch, merged);
        float[] mergedWeight = model.Read(model.Decoder.BaseParameters.First(p => p.Kind == ParameterKind.Matrix));
        Assert.Throws<InvalidOperationException>(
            () => model.Decoder.ForwardBackward(batch, default, new AccumulateSink(model.Backend), merged));
        Assert.NotEqual(weight, mergedWeight);
        Assert.All(apart.Zip(merged), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    [Fact]
    public void Ids_and_lengths_outside_the_model_are_refused()
    {
        using var model = new TestModel(ReferenceConfigs.All["llama"]);
        TokenBatch batch = Batches.Of([new Document([3, 99, 4], [1, 1])]);
        UserException error = Assert.Throws<UserException>(() => model.Decoder.Forward(batch, new float[2]));
        Assert.Equal("example 0: token id 99, expected 0 to 22 (is this the model's tokenizer?)", error.Message);
        batch = Batches.Of(Batches.Random(23, 1, 33));
        error = Assert.Throws<UserException>(() => model.Decoder.Forward(batch, new float[batch.HeadRows.Length]));
        Assert.Equal("example 0: 33 tokens, expected at most the context length 32", error.Message);
    }

    private static Document[] Documents(TestModel model) => Batches.Random(model.Decoder.Config.VocabularySize, 7, 9, 1, 14, 5);

    private static float[][] Gradients(
        TestModel model, int[][] batches, out float[] losses, bool recompute = false, ulong? dropoutSeed = 7,
        AscentKind kind = AscentKind.Weighted)
    {
        Document[] documents = Documents(model);
        model.Decoder.ZeroGradients();
        List<float> all = [];
        foreach (int[] chosen in batches)
        {
            TokenBatch batch = Batches.Of(documents, chosen);
            var part = new float[batch.HeadRows.Length];
            model.Decoder.ForwardBackward(batch, Ascent.From(kind), new AccumulateSink(model.Backend), part, dropoutSeed, recompute);
            all.AddRange(part);
        }

        losses = [.. all];
        return model.Gradients();
    }

    private static void AssertClose(TestModel model, float[][] expected, float[][] actual, double tolerance)
    {
        for (int p = 0; p < expected.Length; p++)
        {
            float largest = expected[p].Max(Math.Abs);
            Assert.True(largest > 0, $"{model.Decoder.TrainableParameters[p]}: no gradient");
            float difference = expected[p].Zip(actual[p], (a, b) => Math.Abs(a - b)).Max();
            Assert.True(difference <= tolerance * largest, $"{model.Decoder.TrainableParameters[p]}: {difference} of {largest}");
        }
    }
}
