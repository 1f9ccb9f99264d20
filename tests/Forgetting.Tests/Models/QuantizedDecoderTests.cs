using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing.Reference;
using Xunit;

namespace Forgetting.Tests.Models;

public sealed class QuantizedDecoderTests
{
    [Theory]
    [InlineData(DType.Float32, false, 1e-5)]
    [InlineData(DType.BFloat16, false, 2e-2)]
    [InlineData(DType.Float32, true, 1e-5)]
    public void An_adapter_over_NF4_learns_as_over_the_numbers_of_that_NF4(DType operandType, bool dora, double tolerance)
    {
        using var backend = new CpuBackend(2, operandType);
        TokenBatch batch = Batches.Of(Batches.Random(QuantizedDecoder.Vocabulary, 3, 9, 14, 4));
        (float[] losses, float[] gradients) = QuantizedDecoder.Run(backend, batch, quantized: true, dora);
        (float[] expectedLosses, float[] expected) = QuantizedDecoder.Run(backend, batch, quantized: false, dora);
        Assert.InRange(QuantizedDecoder.Distance(losses, expectedLosses), 0, tolerance);
        Assert.InRange(QuantizedDecoder.Distance(gradients, expected), 0, tolerance);
        Assert.True(expected.Sum(x => (double)x * x) > 1e-6);
    }

    [Fact]
    public void Matrices_of_blocks_alone_are_quantised()
    {
        using var backend = new CpuBackend(2);
        using var decoder =
            new Decoder(ReferenceConfigs.All["llama"], backend, new LoraConfig { Rank = 2, Alpha = 4 }, baseType: DType.NormalFloat4);
        string[] expected =
            [.. decoder.BaseParameters.Where(p => p.Name.EndsWith("_proj.weight", StringComparison.Ordinal)).Select(p => p.Name)];
        Assert.NotEmpty(expected);
        Assert.Equal(expected, decoder.BaseParameters.Where(p => p.Value.DType == DType.NormalFloat4).Select(p => p.Name));
        Assert.All(decoder.AdapterParameters, p => Assert.Equal(DType.Float32, p.Value.DType));
    }

    [Fact]
    public void Without_an_adapter_there_is_nothing_to_train()
    {
        using var backend = new CpuBackend(1);
        UserException error = Assert.Throws<UserException>(
            () => new Decoder(ReferenceConfigs.All["llama"], backend, baseType: DType.NormalFloat4));
        Assert.Contains("expected an adapter", error.Message, StringComparison.Ordinal);
    }
}
