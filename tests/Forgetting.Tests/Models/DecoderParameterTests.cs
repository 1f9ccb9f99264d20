using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

/// <summary>Names, shapes and initial values.</summary>
public class DecoderParameterTests
{
    [Theory]
    [MemberData(nameof(TestModel.Names), MemberType = typeof(TestModel))]
    public void Names_and_shapes_are_those_of_the_checkpoint(string name)
    {
        ModelConfig config = ReferenceConfigs.All[name];
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(config, backend);
        bool transposed = config.Family == ModelFamilies.Gpt2;
        Dictionary<string, Shape> expected = ReferenceConfigs.Parameters(config).ToDictionary(p => p.Name, p => p.Shape);
        Assert.Equal(expected.Keys.Order(), decoder.BaseParameters.Select(p => p.Name).Order());
        Assert.All(decoder.BaseParameters, p => Assert.Equal(
            transposed && p.Kind == ParameterKind.Matrix && p.Name.Contains(".c_", StringComparison.Ordinal)
                ? new Shape(expected[p.Name].Columns, expected[p.Name].Rows)
                : expected[p.Name],
            p.Shape));
        Assert.Equal(expected.Values.Sum(shape => shape.Count), decoder.ParameterCount);
        Assert.Equal(decoder.BaseParameters, decoder.TrainableParameters);
    }

    [Fact]
    public void Initial_values_have_the_deviations_of_gpt2_and_depend_on_the_seed()
    {
        ModelConfig config = ReferenceConfigs.All["gpt2"] with { HiddenSize = 48, HeadSize = 16, IntermediateSize = 190, Layers = 8 };
        using var backend = new CpuBackend(1);
        using var decoder = new Decoder(config, backend);
        decoder.Initialize(3);
        float[] first = Values("transformer.h.0.mlp.c_fc.weight");
        Assert.Equal(0.02, Deviation(first), 0.001);
        Assert.Equal(0.02 / 4, Deviation(Values("transformer.h.7.mlp.c_proj.weight")), 0.0003);
        Assert.Equal(0.02 / 4, Deviation(Values("transformer.h.0.attn.c_proj.weight")), 0.0004);
        Assert.Equal(0.02, Deviation(Values("transformer.wpe.weight")), 0.002);
        Assert.All(Values("transformer.ln_f.weight"), x => Assert.Equal(1, x));
        Assert.All(Values("transformer.h.2.attn.c_attn.bias"), x => Assert.Equal(0, x));
        Assert.NotEqual(first, Values("transformer.h.1.mlp.c_fc.weight"));
        decoder.Initialize(3);
        Assert.Equal(first, Values("transformer.h.0.mlp.c_fc.weight"));
        decoder.Initialize(4);
        Assert.NotEqual(first, Values("transformer.h.0.mlp.c_fc.weight"));

        float[] Values(string name) => Read(backend, decoder.BaseParameters.Single(p => p.Name == name));
    }

    [Fact]
    public void An_adapter_is_named_as_peft_does_and_starts_without_effect()
    {
        ModelConfig config = ReferenceConfigs.All["qwen2"];
        using var backend = new CpuBackend(1);
        using var decoder =
            new Decoder(config, backend, new LoraConfig { Rank = 8, Alpha = 16, Targets = ["q_proj", "mlp.down_proj"] }, seed: 5);
        Assert.Equal(
            [
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight [8, 10]",
                "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight [24, 8]",
                "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight [8, 13]",
                "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight [10, 8]",
            ],
            decoder.AdapterParameters.Take(4).Select(p => p.ToString()));
        Assert.Equal(decoder.AdapterParameters, decoder.TrainableParameters);
        Assert.All(decoder.BaseParameters, p => Assert.True(!p.Trainable && p.Master.IsEmpty && p.Gradient.IsEmpty));

        // Uniform in ±1/√in: deviation 1/√(3·in).
        float[] a = Read(backend, decoder.AdapterParameters[0]);
        Assert.InRange(a.Max(Math.Abs), 0.9 / Math.Sqrt(10), 1 / Math.Sqrt(10));
        Assert.Equal(1 / Math.Sqrt(30), Deviation(a), 0.03);
        Assert.All(Read(backend, decoder.AdapterParameters[1]), x => Assert.Equal(0, x));
        using var again = new Decoder(config, backend, decoder.Lora, seed: 5);
        Assert.Equal(a, Read(backend, again.AdapterParameters[0]));
        using var other = new Decoder(config, backend, decoder.Lora, seed: 6);
        Assert.NotEqual(a, Read(backend, other.AdapterParameters[0]));
    }

    [Theory]
    [InlineData(0, 0.1, "q_proj", "LoRA rank 0: expected at least 1")]
    [InlineData(8, 1, "q_proj", "LoRA dropout 1: expected 0 ≤ rate < 1")]
    [InlineData(
        8, 0, "proj",
        "LoRA target 'proj' matches no linear layer of the model; expected some of embed_tokens, q_proj, k_proj, v_proj, o_proj, "
        + "gate_proj, up_proj, down_proj, lm_head")]
    public void Bad_adapter_settings_are_named(int rank, double dropout, string target, string message)
    {
        using var backend = new CpuBackend(1);
        var lora = new LoraConfig { Rank = rank, Alpha = 16, Dropout = dropout, Targets = [target] };
        Assert.Equal(message, Assert.Throws<UserException>(() => new Decoder(ReferenceConfigs.All["llama"], backend, lora)).Message);
    }

    private static float[] Read(CpuBackend backend, Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        backend.Download<float>(parameter.Value, values);
        return values;
    }

    private static double Deviation(float[] values) => Math.Sqrt(values.Average(x => (double)x * x) - Math.Pow(values.Average(), 2));
}
