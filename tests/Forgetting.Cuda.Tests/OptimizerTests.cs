using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Models;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Testing.Reference;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>The optimiser over parameters that lie end to end, as on a card, against one parameter at a time.</summary>
[Collection("emulation")]
public sealed class OptimizerTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    // Of the Llama's matrices some have 4,096 weights or more, and some fewer.
    private static readonly ModelConfig s_model =
        ReferenceConfigs.All["llama"] with { Layers = 2, HiddenSize = 66, IntermediateSize = 70, ContextLength = 16 };

    private static readonly TrainingOptions s_options =
        new() { Optimizer = new() { Kind = "adamw8bit", WeightDecay = 0.1 }, Compute = new() { NoCudaGraphs = true } };

    [EmulationFact]
    public void Moments_in_8_bits_are_each_parameters_own()
    {
        using var cpu = new CpuBackend(2);
        (string Name, double[] Values)[] expected = Train(cpu), actual = Train(backends.Of(DType.Float32));
        Assert.Equal(expected.Select(each => each.Name), actual.Select(each => each.Name));
        Assert.True(expected.Count(each => each.Name.EndsWith(".absmax", StringComparison.Ordinal)) >= 8);
        foreach (((string name, double[] values), (_, double[] others)) in expected.Zip(actual))
        {
            // Codes beside a midpoint may be the next one.
            double most = values.Max(Math.Abs);
            int different = values.Zip(others).Count(pair => Math.Abs(pair.First - pair.Second) > 1e-4 * most);
            Assert.True(different <= 3, $"{name}: {different} of {values.Length} differ");
        }
    }

    private static (string Name, double[] Values)[] Train(IBackend backend)
    {
        using var decoder = new Decoder(s_model, backend);
        decoder.Initialize(5);
        decoder.AllocateGradients();
        using var optimizer = new AdamWOptimizer(backend, decoder.TrainableParameters, s_options);
        var random = new Random(3);
        for (int step = 0; step < 3; step++)
        {
            foreach (Parameter parameter in decoder.TrainableParameters)
            {
                float[] gradient = Array.ConvertAll(Operands.Draw(random, (int)parameter.Shape.Count), x => (float)x);
                backend.Upload<float>(gradient, parameter.Gradient);
            }

            optimizer.Step(1e-3);
        }

        return
        [
            .. optimizer.State().OrderBy(each => each.Name, StringComparer.Ordinal)
                .Select(each => (each.Name, Values(backend, each.Values))),
        ];
    }

    private static double[] Values(IBackend backend, Tensor tensor)
    {
        if (tensor.DType == DType.UInt8)
        {
            var bytes = new byte[tensor.Count];
            backend.Download<byte>(tensor, bytes);
            return Array.ConvertAll(bytes, value => (double)value);
        }

        var floats = new float[tensor.Count];
        backend.Download<float>(tensor, floats);
        return Array.ConvertAll(floats, value => (double)value);
    }
}
