using Forgetting.Backends;
using Forgetting.Data;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Models;
using Forgetting.Operations.Reference;
using Forgetting.Testing.Reference;
using Forgetting.Tests.Models;
using Forgetting.Tests.Training;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods.LearningWithForgetting;

public class StableRankShrinkageTests
{
    private const ulong Seed = 0x123456789;
    private const double Weight = 0.6, Deviation = 0.2;

    [Theory]
    [InlineData("llama", 0, false, false)]
    [InlineData("llama", 1, true, false)]
    [InlineData("gpt2", 0, true, false)]
    [InlineData("gpt_neo", 1, false, false)]
    [InlineData("qwen2", 0, false, true)]
    public void Gradient_of_every_parameter_agrees_with_finite_differences_in_double_precision(
        string name, int first, bool recompute, bool lora)
    {
        using var model = new TestModel(ReferenceConfigs.All[name], lora ? new LoraConfig { Rank = 3, Alpha = 5 } : null);
        TokenBatch batch = Batches.Of(Batches.Random(model.Decoder.Config.VocabularySize, 5, 6, 4, 9));
        var shrinkage = new StableRankShrinkage(Weight, Deviation, first, model.Decoder.Config.Layers);
        shrinkage.BeginStep(Seed, batch.Documents);
        model.Decoder.ForwardBackward(
            BatchBuilder.Twice(batch), Ascent.From(AscentKind.Ascent), new AccumulateSink(model.Backend), new float[batch.HeadRows.Length],
            recompute: recompute, regularizer: shrinkage);

        double Objective() =>
            Enumerable.Range(0, batch.Documents)
                .Sum(d => Document(model.Reference, batch, d, first, model.Decoder.Config.Layers, weighted: true));
        Assert.Equal(
            Enumerable.Range(0, batch.Documents)
                .Sum(d => Document(model.Reference, batch, d, first, model.Decoder.Config.Layers, weighted: false)), shrinkage.Value, 1e-6);
        var random = new Random(11);
        float[][] gradients = model.Gradients();
        for (int p = 0; p < gradients.Length; p++)
        {
            float largest = gradients[p].Max(Math.Abs);
            foreach (int element in (int[])[Array.FindIndex(gradients[p], g => Math.Abs(g) == largest), random.Next(gradients[p].Length)])
            {
                (double[] values, int index) = model.Place(model.Decoder.TrainableParameters[p], element);
                double expected = Differences.Derivative(Objective, values, index);
                Assert.True(
                    Math.Abs(expected - gradients[p][element]) <= (2e-5 * largest) + 1e-6,
                    $"{model.Decoder.TrainableParameters[p]} [{element}]: expected {expected}, "
                        + $"found {gradients[p][element]} (largest {largest})");
            }
        }
    }

    [Theory]
    [InlineData(0, 0.0)]
    [InlineData(4, 0.25)]
    public void Gradients_and_value_do_not_depend_on_micro_batches(int rank, double dropout)
    {
        TrainingOptions options = TinyRun.Full with
        {
            Lora = TinyRun.Full.Lora with { Rank = rank, Dropout = dropout },
            Optimizer = TinyRun.Full.Optimizer with { Regularizer = RegularizerKind.Srs },
        };
        using var one = new TinyRun(options);
        using var many = new TinyRun(options with { Compute = options.Compute with { MicroBatchTokens = 40 } });
        using var none = new TinyRun(options with { Optimizer = TinyRun.Full.Optimizer });
        (double Value, StepLosses Losses)[] found = [.. new[] { one, many, none }.Select(run =>
        {
            IStepRegularizer? regularizer = Regularizers.Create(run.Options.Optimizer, run.Decoder.Config);
            using var step = new TrainingStep(run.Decoder, run.Options, regularizer);
            step.Begin(run.Set, [0, 1, 2, 3, 4, 5], 3);
            StepLosses losses = step.Accumulate(0);
            return (regularizer?.Value ?? 0, losses);
        })];
        Assert.Equal(found[0].Value, found[1].Value, 1e-6);
        Assert.Equal(found[0].Losses.Objective, found[1].Losses.Objective, 1e-5);
        Assert.Equal(found[2].Losses.Tokens, found[0].Losses.Tokens);
        Assert.All(one.Gradients().Zip(many.Gradients()), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
        Assert.True(one.Gradients().Zip(none.Gradients(), (a, b) => Math.Abs(a - b)).Max() > 1e-2);
    }

    [Fact]
    public void Both_parts_of_a_signed_objective_are_measured_with_the_noise_of_the_whole()
    {
        // Without the term, the parts of a step are its own gradients: what is not positive is negative, noise and all.
        TrainingOptions options = TinyRun.Full with
        {
            Method = TrainingMethod.Forget,
            Optimizer = TinyRun.Full.Optimizer with { Regularizer = RegularizerKind.Srs, RegularizerWeight = 0 },
        };
        using var run = new TinyRun(options);
        double[] norms = [.. new[] { 0.0, 1.0 }.Select(lambda =>
        {
            using var step = new TrainingStep(run.Decoder, options, Regularizers.Create(options.Optimizer, run.Decoder.Config));
            step.Begin(run.Set, [0, 1, 2, 3, 4, 5], 3);
            step.KeepNegativePart();
            step.Accumulate(lambda);
            return step.CompareParts(lambda).PositiveNorm;
        })];
        Assert.Equal(norms[0], norms[1], 1e-5);
    }

    [Fact]
    public void Noise_is_normal_and_belongs_to_its_place()
    {
        var row = new float[6];
        StableRankShrinkage.Noise(Seed, 17, row);
        Assert.All(row.Zip(Normals(17, 6)), pair => Assert.Equal(pair.Second, pair.First, 1e-6));

        var many = new float[40_000];
        StableRankShrinkage.Noise(Seed, 1, many);
        Assert.InRange(many.Average(), -0.02, 0.02);
        Assert.InRange(many.Average(x => x * x), 0.97, 1.03);
        Assert.InRange(many.Count(x => Math.Abs(x) > 1.96) / 40_000.0, 0.045, 0.055);
    }

    // Σ weight·CE of the noisy pass, and η/(documents·blocks) Σ ‖f(x + ε) − f(x)‖/‖f(x)‖.
    private static double Document(ReferenceDecoder reference, TokenBatch batch, int document, int first, int layers, bool weighted)
    {
        int start = batch.Offsets[document];
        int[] ids = batch.Ids[start..batch.Offsets[document + 1]];
        var clean = new List<double[][]>();
        reference.Hidden(ids, (block, x) => Keep(clean, block, x));
        var noisy = new List<double[][]>();
        double[][] logits = reference.Logits(ids, (block, x) => block == first
            ? [.. x.Select((row, t) =>
                row.Zip(Normals(batch.RowKeys[start + t], row.Length), (value, normal) => value + (Deviation * normal)).ToArray())]
            : Keep(noisy, block, x));
        double ratios =
            clean.Zip(noisy, (c, n) => Math.Sqrt(Squares(c.Zip(n, (a, b) => a.Zip(b, (x, y) => x - y)))) / Math.Sqrt(Squares(c))).Sum();
        double sum = Weight * ratios / (batch.Documents * (layers - first));
        for (int r = batch.HeadOffsets[document]; weighted && r < batch.HeadOffsets[document + 1]; r++)
        {
            sum += batch.Weights[r] * ReferenceLoss.CrossEntropy(logits[batch.HeadRows[r] - start], batch.Targets[r]);
        }

        return sum;

        // What a block sees is what the one below gave; that below the first is not looked at.
        double[][] Keep(List<double[][]> outputs, int block, double[][] x)
        {
            if (block > first)
                outputs.Add(x);

            return x;
        }
    }

    private static double Squares(IEnumerable<IEnumerable<double>> rows) => rows.Sum(row => row.Sum(x => x * x));

    // By the published generator and Box and Muller's formula.
    private static double[] Normals(int rowKey, int count)
    {
        var normals = new double[count];
        for (int i = 0; i < count; i++)
        {
            uint[] words = ReferencePhilox.Draw([(uint)rowKey, (uint)i / 4, 0, 7], unchecked((uint)Seed), (uint)(Seed >> 32));
            (uint u, uint v) = i % 4 < 2 ? (words[0], words[1]) : (words[2], words[3]);
            double radius = Math.Sqrt(-2 * Math.Log((u + 0.5) / Math.Pow(2, 32))), angle = 2 * Math.PI * v / Math.Pow(2, 32);
            normals[i] = radius * (i % 2 == 0 ? Math.Cos(angle) : Math.Sin(angle));
        }

        return normals;
    }
}
