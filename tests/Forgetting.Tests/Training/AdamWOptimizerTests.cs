using Forgetting.Backends;
using Forgetting.Backends.Cpu;
using Forgetting.Models;
using Forgetting.Operations;
using Forgetting.Operations.Reference;
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

    // 4,200 weights are quantised, of which the last block is cut short; a table of as many and a matrix of few are not.
    [Theory]
    [InlineData(nameof(ParameterKind.Matrix), 70, true)]
    [InlineData(nameof(ParameterKind.Embedding), 70, false)]
    [InlineData(nameof(ParameterKind.Vector), 4200, false)]
    [InlineData(nameof(ParameterKind.Matrix), 68, false)]
    public void Moments_in_8_bits_are_those_of_the_block_wise_rule(string kindName, int columns, bool quantized)
    {
        ParameterKind kind = Enum.Parse<ParameterKind>(kindName);
        Shape shape = kind == ParameterKind.Vector ? new(columns) : new(60, columns);
        int count = (int)shape.Count;
        using var backend = new CpuBackend(2);
        using DeviceBuffer values = backend.Allocate(count * sizeof(float)), gradients = backend.Allocate(count * sizeof(float));
        var parameter = new Parameter("w", kind, shape)
        {
            Trainable = true,
            Value = values.AsTensor(shape, DType.Float32),
            Gradient = gradients.AsTensor(shape, DType.Float32),
        };
        parameter.Master = parameter.Value;
        var options = new TrainingOptions { Optimizer = new() { Kind = "adamw8bit" } };
        var random = new Random(1);
        double[] master = Operands.Draw(random, count), first = new double[count], second = new double[count];
        double[] signed = [.. DynamicMap.Signed], unsigned = [.. DynamicMap.Unsigned];
        backend.Upload<float>(Array.ConvertAll(master, x => (float)x), parameter.Master);
        using var optimizer = new AdamWOptimizer(backend, [parameter], options);
        for (int step = 1; step <= 10; step++)
        {
            double[] gradient = Operands.Draw(random, count);
            backend.Upload<float>(Array.ConvertAll(gradient, x => (float)x), parameter.Gradient);
            optimizer.Step(1e-3);
            (master, first, second) = ReferenceDense.AdamW(
                master, Array.ConvertAll(gradient, x => (double)(float)x), first, second, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0, step, 1));
            if (quantized)
                (first, second) = (Stored(first, signed), Stored(second, unsigned));
        }

        // A number that rounding puts to the other side of a midpoint differs more: of 4,200 a handful at most.
        var result = new float[count];
        backend.Download(parameter.Master, result.AsSpan());
        Assert.InRange(master.Zip(result).Count(pair => Math.Abs(pair.First - pair.Second) > 2e-6), 0, 5);
        Assert.All(master.Zip(result), pair => Assert.Equal(pair.First, pair.Second, 1e-3));
        Assert.Equal(
            quantized ? ["w", "w.exp_avg", "w.exp_avg.absmax", "w.exp_avg_sq", "w.exp_avg_sq.absmax"] : ["w", "w.exp_avg", "w.exp_avg_sq"],
            optimizer.State().Select(each => each.Name));
        Assert.Equal(AdamWOptimizer.MomentBytes(parameter, options), optimizer.State().Skip(1).Sum(each => each.Values.Bytes));

        static double[] Stored(double[] values, double[] map)
        {
            (double[] codes, double[] scales) = ReferenceQuantization.Quantize(values, map, BlockwiseTensor.Block);
            return ReferenceQuantization.Dequantize(codes, scales, map, BlockwiseTensor.Block);
        }
    }
}
