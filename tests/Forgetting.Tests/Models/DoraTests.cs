using Forgetting.Backends.Cpu;
using Forgetting.Checkpoints;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Checkpoints;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>Adapters that train each output's magnitude apart from its weights' direction (arXiv 2402.09353).</summary>
public sealed class DoraTests : IDisposable
{
    private static readonly LoraConfig s_dora = new() { Rank = 3, Alpha = 6, Dora = true };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Families => [.. ReferenceConfigs.OfFamilies];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Families))]
    public void A_new_adapter_changes_nothing_and_has_the_rows_lengths(string name)
    {
        ModelConfig config = ReferenceConfigs.All[name];
        using var backend = new CpuBackend(1);
        using var plain = new Decoder(config, backend, training: false);
        using var adapted = new Decoder(config, backend, s_dora, seed: 4);
        plain.Initialize(3);
        foreach ((Parameter from, Parameter to) in plain.BaseParameters.Zip(adapted.BaseParameters))
        {
            backend.Copy(from.Value, to.Value);
        }

        TokenBatch batch = Batches.Of(Batches.Random(config.VocabularySize, 3, 9, 5));
        float[] expected = Losses(plain, batch), found = Losses(adapted, batch);
        Assert.All(expected.Zip(found), pair => Assert.Equal(pair.First, pair.Second, 2e-6f));
        Assert.All(adapted.Adapters, adapter =>
        {
            ReadOnlySpan<float> weight = adapter.Weight.Value.AsSpan<float>(), lengths = adapter.Magnitude!.Value.AsSpan<float>();
            int inputs = adapter.Weight.Shape.Columns;
            for (int j = 0; j < lengths.Length; j++)
            {
                double sum = 0;
                foreach (float value in weight[(j * inputs)..((j + 1) * inputs)])
                {
                    sum += (double)value * value;
                }

                Assert.Equal(Math.Sqrt(sum), lengths[j], 1e-5 * Math.Sqrt(sum));
            }
        });
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void What_is_merged_computes_the_same_in_memory_and_in_files(string name)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], s_dora);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 3, 9, 5));
        double[] expected = ReferenceObjective.Losses(model.Reference, batch);
        ModelConfig config = model.Decoder.Config;
        Folders.Write(_folder["base"], Folders.Config(config), ReferenceConfigs.Parameters(config).ToDictionary(
            p => p.Name, p => new Folders.Raw(
                "F32", p.Shape.Rows == 1 ? [p.Shape.Columns] : [p.Shape.Rows, p.Shape.Columns],
                [.. model.Weights[p.Name].SelectMany(value => BitConverter.GetBytes((float)value))])));
        using (Checkpoint source = Checkpoint.Open(_folder["base"]))
        {
            AdapterMerge.Write(_folder["merged"], model.Decoder, source);
        }

        model.Decoder.MergeAdapter();
        AssertClose(expected, Losses(model.Decoder, batch));
        using Checkpoint merged = Checkpoint.Open(_folder["merged"]);
        using var plain = new Decoder(merged.Config, model.Backend, training: false);
        merged.LoadInto(plain.BaseParameters, model.Backend);
        AssertClose(expected, Losses(plain, batch));
    }

    // Names and shape as PEFT has them: the vector's name has no ".weight" behind it.
    [Fact]
    public void Magnitudes_stand_in_the_adapter_s_file_as_vectors()
    {
        using var model = new TestModel(ReferenceConfigs.All["gpt2"], s_dora with { Targets = ["c_attn"] });
        PeftAdapter.Write(_folder["adapter"], model.Decoder, "base");
        Dictionary<string, Folders.Raw> tensors = Folders.ReadTensors(_folder["adapter", "adapter_model.safetensors"]);
        Assert.Equal(
            ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector"],
            tensors.Keys.Where(key => key.Contains(".h.1.", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .Select(key => key["base_model.model.transformer.h.1.attn.c_attn.".Length..]));
        Assert.All(
            tensors.Where(pair => pair.Key.EndsWith("vector", StringComparison.Ordinal)), pair => Assert.Equal([27], pair.Value.Shape));
    }

    [Theory]
    [InlineData("lm_head")]
    [InlineData("embed_tokens")]
    public void Embeddings_and_heads_are_refused(string target)
    {
        UserException error = Assert.Throws<UserException>(
            () => Decoder.Describe(ReferenceConfigs.All["llama"], s_dora with { Targets = ["q_proj", target] }));
        Assert.Contains("expected it for linear layers of blocks alone", error.Message, StringComparison.Ordinal);
    }

    private static float[] Losses(Decoder decoder, TokenBatch batch)
    {
        var losses = new float[batch.HeadRows.Length];
        decoder.Forward(batch, losses, new int[losses.Length]);
        return losses;
    }

    private static void AssertClose(double[] expected, float[] found) =>
        Assert.All(expected.Zip(found), pair => Assert.Equal(pair.First, pair.Second, 3e-6 * (1 + Math.Abs(pair.First))));
}
