using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>Forward and backward of every family against the double-precision reference and its finite differences.</summary>
public class DecoderGradientTests
{
    private static readonly LoraConfig s_smallLora = new() { Rank = 3, Alpha = 5 };

    public static TheoryData<string, AscentKind> AscentKinds
    {
        get
        {
            var data = new TheoryData<string, AscentKind>();
            foreach (AscentKind kind in Enum.GetValues<AscentKind>())
            {
                data.Add("qwen2", kind);
                data.Add("gpt_neo", kind);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Losses_and_arg_maxes_match_the_reference(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name]);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 3, 7, 1, 12, 2));
        var losses = new float[batch.HeadRows.Length];
        var greedy = new int[losses.Length];
        model.Decoder.Forward(batch, losses, greedy);

        AssertClose(ReferenceObjective.Losses(model.Reference, batch), losses, 2e-6, name);
        for (int document = 0; document < batch.Documents; document++)
        {
            int start = batch.Offsets[document];
            double[][] logits = model.Reference.Logits(batch.Ids.AsSpan(start..batch.Offsets[document + 1]));
            for (int r = batch.HeadOffsets[document]; r < batch.HeadOffsets[document + 1]; r++)
            {
                Assert.Equal(ReferenceLoss.ArgMax(logits[batch.HeadRows[r] - start]), greedy[r]);
            }
        }
    }

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Gradients_match_finite_differences(string name) => CheckGradients(name, lora: null, Ascent.From(AscentKind.Ascent));

    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Lora_gradients_match_finite_differences(string name) => CheckGradients(name, s_smallLora, Ascent.From(AscentKind.Ascent));

    // The lengths of the rows are constants, in the reference too; its values are those of the rows themselves.
    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Dora_gradients_match_finite_differences(string name) =>
        CheckGradients(name, s_smallLora with { Dora = true }, Ascent.From(AscentKind.Ascent));

    [Theory]
    [InlineData("llama-biases", "q_proj v_proj up_proj o_proj", "k_proj")] // parts of what lies together
    [InlineData("qwen2", "k_proj down_proj", "embed_tokens")]
    [InlineData("gpt2", "c_attn", "")]
    public void Dora_gradients_of_some_layers_match_finite_differences(string name, string targets, string saved) => CheckGradients(
        name,
        s_smallLora with
        {
            Dora = true,
            RankStabilized = true,
            Targets = targets.Split(' '),
            ModulesToSave = saved.Split(' ', StringSplitOptions.RemoveEmptyEntries),
        },
        Ascent.From(AscentKind.Ascent));

    // Adapters of a tied pair, or a trained copy of one of its ends, set it apart; the reference then has a head of its own.
    [Theory]
    [InlineData("llama", "embed_tokens lm_head q_proj", "")]
    [InlineData("llama-tied", "embed_tokens lm_head down_proj", "")]
    [InlineData("llama-tied", "embed_tokens", "")]
    [InlineData("llama-tied", "lm_head", "")]
    [InlineData("llama-tied", "q_proj", "embed_tokens")]
    [InlineData("llama-tied", "q_proj", "lm_head")]
    [InlineData("llama-tied", "q_proj", "embed_tokens lm_head norm")]
    [InlineData("granite", "embed_tokens lm_head down_proj", "")]
    [InlineData("granite", "q_proj", "embed_tokens norm")]
    [InlineData("gemma2", "embed_tokens lm_head down_proj", "")]
    [InlineData("gpt_neox", "embed_in embed_out dense", "")]
    [InlineData("gpt_neox-sequential", "embed_out query_key_value", "embed_in")]
    [InlineData("phi3", "qkv_proj gate_up_proj", "")]
    [InlineData("gemma3", "q_proj", "embed_tokens q_norm")]
    [InlineData("gpt2", "wte wpe lm_head c_fc", "")]
    [InlineData("gpt_neo", "lm_head q_proj", "wte")]
    [InlineData("qwen2", "q_proj v_proj up_proj", "k_proj")] // parts of what lies together
    [InlineData("llama", "k_proj gate_proj", "q_proj up_proj")]
    public void Gradients_of_adapted_and_copied_embeddings_and_heads_match_finite_differences(string name, string targets, string saved) =>
        CheckGradients(
            name,
            s_smallLora with { Targets = targets.Split(' '), ModulesToSave = saved.Split(' ', StringSplitOptions.RemoveEmptyEntries) },
            Ascent.From(AscentKind.Ascent));

    // Queries, keys and values have one product with A where their scales are equal, whatever their ranks, and two or three otherwise.
    [Theory]
    [InlineData(5, 10.0 / 3)] // equal
    [InlineData(5, 2)]
    [InlineData(3, 7)]
    public void Gradients_of_adapters_of_several_ranks_match_finite_differences(int rank, double alphaOfRank) => CheckGradients(
        "llama",
        s_smallLora with
        {
            Alpha = 2,
            Targets = ["q_proj", "k_proj", "v_proj", "up_proj"],
            RankPattern = new Dictionary<string, int> { ["k_proj"] = rank },
            AlphaPattern = new Dictionary<string, double> { ["k_proj"] = alphaOfRank },
        },
        Ascent.From(AscentKind.Ascent));

    [Theory]
    [MemberData(nameof(AscentKinds))]
    public void Gradients_of_every_ascent_match_finite_differences(string name, AscentKind kind) =>
        CheckGradients(name, lora: null, Ascent.From(kind));

    [Fact]
    public void A_hidden_regularizer_reaches_every_parameter()
    {
        using var model = new TestModel(ReferenceConfigs.All["gpt2"]);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 5, 6, 4));
        model.Decoder.ForwardBackward(
            batch, Ascent.From(AscentKind.Ascent), new AccumulateSink(model.Backend), new float[batch.HeadRows.Length],
            regularizer: new SumOfHidden(model.Backend));
        CheckElements(model, () => ReferenceObjective.Value(model.Reference, batch, default) + (0.25 * HiddenSum(model.Reference, batch)));
    }

    private static double HiddenSum(ReferenceDecoder reference, TokenBatch batch) => Enumerable.Range(0, batch.Documents)
        .Sum(s =>
            reference.Hidden(batch.Ids.AsSpan(batch.Offsets[s]..batch.Offsets[s + 1])).Sum(row => row.Select((x, i) => x * (1 + i)).Sum()));

    private static void CheckGradients(string name, LoraConfig? lora, Ascent ascent)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], lora);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 3, 7, 1, 9));
        var losses = new float[batch.HeadRows.Length];
        model.Decoder.ForwardBackward(batch, ascent, new AccumulateSink(model.Backend), losses);
        AssertClose(ReferenceObjective.Losses(model.Reference, batch), losses, 2e-6, name);
        CheckElements(model, () => ReferenceObjective.Value(model.Reference, batch, ascent));
    }

    // Of every parameter the element with the largest gradient and two others.
    private static void CheckElements(TestModel model, Func<double> objective)
    {
        var random = new Random(11);
        float[][] gradients = model.Gradients();
        for (int p = 0; p < gradients.Length; p++)
        {
            Parameter parameter = model.Decoder.TrainableParameters[p];
            float[] gradient = gradients[p];
            float largest = gradient.Max(Math.Abs);
            foreach (int element in (int[])[Array.FindIndex(gradient, g => Math.Abs(g) == largest), random.Next(gradient.Length),
                random.Next(gradient.Length)])
            {
                (double[] values, int index) = model.Place(parameter, element);
                double expected = Differences.Derivative(objective, values, index);
                Assert.True(
                    Math.Abs(expected - gradient[element]) <= (2e-5 * largest) + 1e-6,
                    $"{parameter} [{element}]: expected {expected}, found {gradient[element]} (largest {largest})");
            }
        }
    }

    private static void AssertClose(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance * (1 + Math.Abs(expected[i])),
                $"{what}[{i}]: expected {expected[i]}, found {actual[i]}");
        }
    }

    /// <summary>¼ Σ (1 + column)·h.</summary>
    private sealed class SumOfHidden(IBackend memory) : IRegularizer
    {
        public void AddGradient(
            IBackend backend, Tensors.Arena arena, Tensors.Tensor hidden, Tensors.Tensor offsets, Tensors.Tensor dHidden)
        {
            Tensors.Tensor term = arena.Take(hidden.Shape);
            memory.Upload<float>([.. Enumerable.Range(0, (int)hidden.Shape.Count).Select(i => 0.25f * (1 + (i % hidden.Columns)))], term);
            backend.Axpy(1, term, dHidden);
        }
    }
}
