using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>
/// Layers that read the same input: where their weights lie, and that it changes nothing. Against the double-precision reference they are
/// <see cref="DecoderGradientTests"/>' matter.
/// </summary>
public class LinearGroupTests
{
    private const string Attention = "model.layers.0.self_attn.";
    private static readonly LoraConfig s_lora = new() { Rank = 3, Alpha = 5 };

    [Theory]
    [InlineData("llama", "", "q_proj k_proj v_proj")]
    [InlineData("qwen2", "", "q_proj k_proj v_proj")]
    [InlineData("qwen2", "k_proj", "")]
    [InlineData("llama", "q_proj k_proj v_proj", "q_proj k_proj v_proj")]
    [InlineData("qwen3", "", "")] // norms read queries and keys whole
    public void Weights_that_one_product_reads_lie_end_to_end_if_they_are_trained_or_frozen_together(
        string name, string trained, string together)
    {
        LoraConfig lora = s_lora with { Targets = ["o_proj"], ModulesToSave = trained.Split(' ', StringSplitOptions.RemoveEmptyEntries) };
        using var model = new TestModel(ReferenceConfigs.All[name], lora);
        foreach (string kind in name == "qwen2" ? (string[])["weight", "bias"] : ["weight"])
        {
            Parameter[] parameters = [.. new[] { "q_proj", "k_proj", "v_proj" }
                .Select(path => model.Decoder.BaseParameters.Single(p => p.Name == $"{Attention}{path}.{kind}"))];
            Assert.Equal(together, parameters[0].Group.Parameters.Count == 3 ? "q_proj k_proj v_proj" : "");
            if (together.Length == 0)
                continue;

            Assert.Equal(parameters, parameters[0].Group.Parameters);
            for (int i = 1; i < parameters.Length; i++)
            {
                Tensor before = parameters[i - 1].Value;
                Assert.Equal(before.Pointer + (nint)before.Bytes, parameters[i].Value.Pointer);
            }
        }
    }

    // A trained copy of the keys' weights sets the three apart, in memory and in products; the adapter is as good as none at first.
    [Theory]
    [InlineData("llama")]
    [InlineData("qwen2")]
    public void Losses_are_the_same_bits_whether_weights_lie_together_or_apart(string name)
    {
        LoraConfig lora = s_lora with { Targets = ["o_proj"] };
        using var together = new TestModel(ReferenceConfigs.All[name], lora);
        using var apart = new TestModel(ReferenceConfigs.All[name], lora with { ModulesToSave = ["k_proj"] });
        Assert.NotEqual(Weight(together).Group.Parameters.Count, Weight(apart).Group.Parameters.Count);
        TokenBatch batch = Batches.Of(Batches.Random(together.Decoder.Config.VocabularySize, 3, 7, 1, 12));
        float[] losses = new float[batch.HeadRows.Length], others = new float[losses.Length];
        together.Decoder.Forward(batch, losses);
        apart.Decoder.Forward(batch, others);
        Assert.Equal(losses, others);

        static Parameter Weight(TestModel model) => model.Decoder.BaseParameters.Single(p => p.Name == $"{Attention}q_proj.weight");
    }

    // Frozen ones are not asked for a gradient, and what is left has the bits that it has among the others.
    [Fact]
    public void A_part_of_a_group_can_be_trained_alone()
    {
        using var whole = new TestModel(ReferenceConfigs.All["qwen2"]);
        using var part = new TestModel(ReferenceConfigs.All["qwen2"]);
        part.Decoder.TrainOnly(
            p => p.Name.Contains("k_proj", StringComparison.Ordinal) || p.Name.Contains("up_proj", StringComparison.Ordinal));
        part.Decoder.AllocateGradients();
        TokenBatch batch = Batches.Of(Batches.Random(whole.Decoder.Config.VocabularySize, 3, 7, 9));
        foreach (TestModel model in new[] { whole, part })
        {
            model.Decoder.ForwardBackward(
                batch, Ascent.From(AscentKind.Ascent), new AccumulateSink(model.Backend), new float[batch.HeadRows.Length]);
        }

        Dictionary<string, float[]> all = whole.Decoder.TrainableParameters.Zip(whole.Gradients())
            .ToDictionary(pair => pair.First.Name, pair => pair.Second);
        float[][] gradients = part.Gradients();
        for (int i = 0; i < gradients.Length; i++)
        {
            float[] expected = all[part.Decoder.TrainableParameters[i].Name];
            float largest = expected.Max(Math.Abs);
            for (int j = 0; j < expected.Length; j++)
            {
                Assert.Equal(expected[j], gradients[i][j], 1e-5f * largest);
            }
        }

        Assert.Equal(3 * whole.Decoder.Config.Layers, gradients.Length); // weights of both, and the keys' biases
    }

    [Fact]
    public void Columns_of_a_tensor_are_apart_from_its_other_columns_only()
    {
        var tensor = new Tensor(4096, new Shape(5, 48), DType.Float32);
        ColumnView first = tensor.ColumnRange(0, 16), second = tensor.ColumnRange(16, 16), across = tensor.ColumnRange(8, 16);
        Assert.True(first.IsApartFrom(second) && second.IsApartFrom(first));
        Assert.False(first.IsApartFrom(across) || across.IsApartFrom(first) || across.IsApartFrom(second));
        Assert.False(first.IsApartFrom(tensor) || ((ColumnView)tensor).IsApartFrom(second));
        Assert.True(first.IsApartFrom(tensor with { Pointer = 4096 + (nint)tensor.Bytes }));
        Assert.Equal(tensor, ColumnView.Joined([first, tensor.ColumnRange(16, 32)]));
        Assert.True(ColumnView.Joined([first, second]).IsEmpty && ColumnView.Joined([second, first]).IsEmpty);
    }
}
