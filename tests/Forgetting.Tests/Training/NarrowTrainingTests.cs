using Forgetting.Backends.Cpu;
using Forgetting.Core;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Tensors;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

/// <summary>Gradients in bfloat16, and weights in it without masters.</summary>
public sealed class NarrowTrainingTests
{
    private static readonly TrainingOptions s_exact = TinyRun.Full with
    {
        Schedule = TinyRun.Full.Schedule with { BatchSize = 12, Steps = 200 },
        Compute = new() { MicroBatchTokens = 48 },
    };

    private static TrainingOptions Narrow(TrainingOptions options, bool noMasters, string optimizer = "adamw") =>
        options with { Optimizer = options.Optimizer with { GradientDtype = "bf16", NoMasters = noMasters, Kind = optimizer } };

    [Theory]
    [InlineData(false, "adamw")]
    [InlineData(true, "adamw")]
    [InlineData(true, "adamw8bit")]
    public void Two_hundred_steps_come_as_far(bool noMasters, string optimizer)
    {
        double exact = Loss(s_exact), narrow = Loss(Narrow(s_exact, noMasters, optimizer)), start = Loss(s_exact, steps: 1);
        Assert.True(exact < 0.8 * start);
        Assert.InRange(narrow, exact - (0.05 * (start - exact)), exact + (0.05 * (start - exact)));
    }

    [Fact]
    public void A_gradient_in_bfloat16_is_the_gradient_to_its_precision_and_on_average_exactly()
    {
        using var exact = new TinyRun(s_exact);
        Dictionary<string, double[]> expected = Gradient(exact, s_exact), sum = [];
        const int Seeds = 64;
        for (ulong seed = 0; seed < Seeds; seed++)
        {
            TrainingOptions options = Narrow(s_exact, noMasters: false) with { Seed = seed };
            using var run = new TinyRun(options);
            foreach ((string name, double[] gradient) in Gradient(run, options))
            {
                sum[name] = sum.TryGetValue(name, out double[]? before) ? [.. before.Zip(gradient, (a, b) => a + b)] : gradient;

                // Some micro-batches, each of which rounds what is there by up to 2⁻⁷ of it.
                double most = expected[name].Max(Math.Abs);
                Assert.All(expected[name].Zip(gradient), pair => Assert.Equal(pair.First, pair.Second, 0.05 * most));
            }
        }

        foreach ((string name, double[] gradient) in expected)
        {
            double error = Distance(gradient, [.. sum[name].Select(x => x / Seeds)]), one = 0.01 * Math.Sqrt(gradient.Sum(x => x * x));
            Assert.True(error < one / 4, $"{name}: {error / one}");
        }

        static double Distance(double[] a, double[] b) => Math.Sqrt(a.Zip(b, (x, y) => (x - y) * (x - y)).Sum());
    }

    [Fact]
    public void The_same_run_gives_the_same_bits_and_another_seed_others()
    {
        TrainingOptions options = Narrow(s_exact, noMasters: true);
        options = options with { Schedule = options.Schedule with { Steps = 4 }, Data = options.Data with { NoShuffle = true } };
        float[] first = Trained(options), second = Trained(options), other = Trained(options with { Seed = 9 });
        Assert.Equal(first, second);
        Assert.NotEqual(first, other);

        // Matrices and tables are numbers of bfloat16.
        using var run = new TinyRun(options);
        run.Trainer().Run();
        Assert.All(run.Decoder.TrainableParameters, parameter =>
        {
            bool vector = parameter.Kind == ParameterKind.Vector;
            Assert.Equal(vector ? DType.Float32 : DType.BFloat16, parameter.Value.DType);
            Assert.Equal(parameter.Value, parameter.Master);
            Assert.Equal(vector ? DType.Float32 : DType.BFloat16, parameter.Gradient.DType);
        });

        static float[] Trained(TrainingOptions options)
        {
            using var run = new TinyRun(options);
            run.Trainer().Run();
            return run.Weights();
        }
    }

    // Against the algorithm in double, from what is stored before each step; the rounding is given 16 bits by the plain generator.
    [Fact]
    public void A_step_without_masters_is_a_step_in_double_and_a_rounding()
    {
        using var backend = new CpuBackend(2);
        var shape = new Shape(60, 70);
        int count = (int)shape.Count;
        using var values = backend.Allocate(count * 2);
        using var gradients = backend.Allocate(count * 2);
        var parameter = new Parameter("w", ParameterKind.Matrix, shape)
        {
            Trainable = true, Value = values.AsTensor(shape, DType.BFloat16), Gradient = gradients.AsTensor(shape, DType.BFloat16),
        };
        parameter.Master = parameter.Value;
        using var optimizer = new AdamWOptimizer(backend, [parameter], new TrainingOptions { Optimizer = new() { WeightDecay = 0.1 } });
        var random = new Random(1);
        Upload(parameter.Value);
        double[] first = new double[count], second = new double[count];
        for (int step = 1; step <= 5; step++)
        {
            Upload(parameter.Gradient);
            double[] before = Numbers(parameter.Value), gradient = Numbers(parameter.Gradient);
            optimizer.Step(1e-3);
            (double[] exact, first, second) =
                ReferenceDense.AdamW(before, gradient, first, second, new(1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, step, 1));
            uint[] key = ReferencePhilox.Draw([(uint)step, 0, 0, 9], (uint)new TrainingOptions().Seed, 0);
            double[] expected = [.. exact.Select((x, i) => ReferenceRounding.Round((float)x, i, key[0], key[1], 0))];
            double[] actual = Numbers(parameter.Value);
            Assert.InRange(expected.Zip(actual).Count(pair => pair.First != pair.Second), 0, 8);
            Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 0.008 * Math.Abs(pair.First) + 1e-9));
            Assert.All(Numbers(parameter.Gradient), x => Assert.Equal(0, x));
        }

        Assert.Equal(DType.BFloat16, optimizer.State().First().DType);

        void Upload(Tensor tensor) => backend.Upload<ushort>(
            [.. Enumerable.Range(0, count).Select(_ => (ushort)(BitConverter.SingleToUInt32Bits(random.NextSingle() - 0.5f) >> 16))],
            tensor);

        double[] Numbers(Tensor tensor)
        {
            var bits = new ushort[count];
            backend.Download(tensor, bits.AsSpan());
            return Array.ConvertAll(bits, x => (double)BitConverter.UInt32BitsToSingle((uint)x << 16));
        }
    }

    [Fact]
    public void What_cannot_be_is_refused()
    {
        TrainingOptions options = Narrow(TinyRun.Full, noMasters: true);
        using var backend = new CpuBackend(1);
        Assert.Contains("lora-rank 0", Assert.Throws<UserException>(
            () => new Decoder(TinyRun.Config, backend, new LoraConfig { Rank = 2, Alpha = 2 }, trainedType: DType.BFloat16)).Message);
        Assert.Contains("one process", Assert.Throws<UserException>(() => options.CheckRanks(2)).Message);
        Assert.Contains("gradient-dtype is bf16 with 3", Assert.Throws<UserException>(
            () => Narrow(TinyRun.Full, noMasters: false).CheckRanks(3)).Message);
        TrainingOptions unknown = TinyRun.Full with { Optimizer = TinyRun.Full.Optimizer with { GradientDtype = "fp16" } };
        Assert.Equal("gradient-dtype is fp16, expected fp32 or bf16", Assert.Throws<UserException>(unknown.ValidateValues).Message);
    }

    private static double Loss(TrainingOptions options, int? steps = null)
    {
        using var run = new TinyRun(options with { Schedule = options.Schedule with { Steps = steps ?? options.Schedule.Steps } });
        run.Trainer().Run();
        using var step = new TrainingStep(run.Decoder, options);
        step.Begin(run.Set, [.. Enumerable.Range(0, 12)], 0);
        return step.Accumulate(0).PositiveLoss!.Value;
    }

    private static Dictionary<string, double[]> Gradient(TinyRun run, TrainingOptions options)
    {
        using var step = new TrainingStep(run.Decoder, options);
        step.Begin(run.Set, [.. Enumerable.Range(0, 12)], 0);
        step.Accumulate(0);
        float[] all = run.Gradients();
        int start = 0;
        return run.Decoder.TrainableParameters.ToDictionary(parameter => parameter.Name, parameter =>
        {
            int first = start;
            start += (int)parameter.Shape.Count;
            return Array.ConvertAll(all[first..start], value => (double)value);
        });
    }
}
