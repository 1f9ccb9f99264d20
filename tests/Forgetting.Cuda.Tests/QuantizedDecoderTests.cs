using Forgetting.Backends.Cpu;
using Forgetting.Backends.Cuda;
using Forgetting.Data;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

[Collection("emulation")]
public sealed class QuantizedDecoderTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    [EmulationTheory]
    [InlineData(DType.Float32, 1e-4)]
    [InlineData(DType.BFloat16, 3e-2)]
    public void An_adapter_over_NF4_learns_as_on_the_CPU(DType type, double tolerance)
    {
        CudaBackend backend = backends.Of(type);
        TrainingSet set = TrainingStepTests.Examples(QuantizedDecoder.Vocabulary, 11, 5, 7);
        TokenBatch batch = BatchBuilder.ForScoring(set.Examples, new MicroBatch(0, set.Examples.Count, 0), allTokens: true);
        batch = batch with { Weights = [.. Enumerable.Repeat(0.1f, batch.HeadRows.Length)] };
        using var cpu = new CpuBackend(2);
        (float[] expectedLosses, float[] expected) = QuantizedDecoder.Run(cpu, batch, quantized: true);
        (float[] losses, float[] gradients) = QuantizedDecoder.Run(backend, batch, quantized: true);
        Assert.InRange(QuantizedDecoder.Distance(losses, expectedLosses), 0, tolerance);
        Assert.InRange(QuantizedDecoder.Distance(gradients, expected), 0, tolerance);
    }
}
