using Forgetting.Backends.Cpu;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class AdamWOptimizerTests
{
    [Theory]
    [InlineData(nameof(ParameterKind.Matrix), 0.1)]
    [InlineData(nameof(ParameterKind.Embedding), 0.1)]
    [InlineData(nameof(ParameterKind.Vector), 0)]
    public void Twenty_steps_agree_with_the_algorithm_in_double(string kindName, double effectiveDecay)
    {
        ParameterKind kind = Enum.Parse<ParameterKind>(kindName);
        using var backend = new CpuBackend(2);
        var options =
            new TrainingOptions { Optimizer = new() { WeightDecay = 0.1, AdamBeta1 = 0.8, AdamBeta2 = 0.95, AdamEpsilon = 1e-6 } };
        var shape = kind == ParameterKind.Vector ? new Shape(35) : new Shape(5, 7);
        using DeviceBuffer values = backend.Allocate(shape.Count * sizeof(float));
        using DeviceBuffer gradients = backend.Allocate(shape.Count * sizeof(float));
        var parameter = new Parameter("w", kind, shape)
        {
            Trainable = true,
            Value = values.AsTensor(shape, DType.Float32),
            Gradient = gradients.AsTensor(shape, DType.Float32),
        };
        parameter.Master = parameter.Value;

        var random = new Random(1);
        double[] master = [.. Enumerable.Range(0, 35).Select(_ => random.NextDouble() - 0.5)];
        backend.Upload<float>(Array.ConvertAll(master, x => (float)x), parameter.Master);
        using var optimizer = new AdamWOptimizer(backend, [parameter], options);
        var first = new double[35];
        var second = new double[35];
        for (int step = 1; step <= 20; step++)
        {
            double[] gradient = [.. Enumerable.Range(0, 35).Select(_ => (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-3, 3)))];
            double rate = 0.01 / step;
            const double Scale = 0.5;
            backend.Upload<float>(Array.ConvertAll(gradient, x => (float)x), parameter.Gradient);
            optimizer.Step(rate, Scale);
            for (int i = 0; i < 35; i++)
            {
                double g = gradient[i] * Scale;
                first[i] = 0.8 * first[i] + 0.2 * g;
                second[i] = 0.95 * second[i] + 0.05 * g * g;
                double m = first[i] / (1 - Math.Pow(0.8, step));
                double v = second[i] / (1 - Math.Pow(0.95, step));
                master[i] -= rate * (m / (Math.Sqrt(v) + 1e-6) + effectiveDecay * master[i]);
            }
        }

        var result = new float[35];
        backend.Download(parameter.Master, result.AsSpan());
        Assert.Equal(20, optimizer.Updates);
        Assert.All(Enumerable.Range(0, 35), i => Assert.Equal(master[i], result[i], 5e-7));
    }
}
