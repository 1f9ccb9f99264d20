using Forgetting.Backends;
using Forgetting.Backends.Cuda;
using Forgetting.Models;
using Forgetting.Tensors;
using Forgetting.Testing;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>Steps replayed as CUDA graphs against steps whose kernels are launched one by one, on the emulation.</summary>
[Collection("emulation")]
public sealed class GraphTests(EmulatedBackends backends) : IClassFixture<EmulatedBackends>
{
    // Two shapes in turn, each in two micro-batches, with one between that comes once.
    private static readonly int[][] s_steps = [[0, 1, 2], [1, 2], [0, 1, 2], [0], [1, 2], [0, 1, 2]];

    private static readonly ModelConfig s_model = TrainingStepTests.Gpt2 with { Layers = 1, VocabularySize = 19, ContextLength = 12 };
    private static readonly LoraConfig s_lora = new() { Rank = 3, Alpha = 6, Dropout = 0.3 };

    public static TheoryData<DType, bool, AscentKind, bool> Runs => new()
    {
        { DType.Float32, false, AscentKind.Npo, false },
        { DType.Float32, true, AscentKind.Ascent, false },
        { DType.BFloat16, false, AscentKind.Ascent, false },
        { DType.BFloat16, true, AscentKind.Weighted, false },
        { DType.BFloat16, false, AscentKind.Ascent, true },
    };

    [EmulationTheory]
    [MemberData(nameof(Runs))]
    public void Replayed_steps_leave_the_bits_of_single_launches(DType type, bool adapter, AscentKind ascent, bool narrow)
    {
        CudaBackend backend = backends.Of(type);
        TrainingOptions options = TrainingStepTests.Full with
        {
            Compute = TrainingStepTests.Full.Compute with { MicroBatchTokens = 12, Recompute = adapter },
            TokenForgetting = TrainingStepTests.Full.TokenForgetting with { Ascent = ascent },
            Optimizer = TrainingStepTests.Full.Optimizer with { GradientDtype = narrow ? "bf16" : "fp32", NoMasters = narrow },
        };
        int before = backend.Graphs.Recorded;
        (List<double> expected, float[] weights) =
            Train(backend, options with { Compute = options.Compute with { NoCudaGraphs = true } }, adapter);
        Assert.Equal(before, backend.Graphs.Recorded);
        (List<double> losses, float[] replayed) = Train(backend, options, adapter);
        Assert.True(backend.Graphs.Recorded > before);
        Assert.Equal(expected, losses);
        Assert.Equal(weights, replayed);
    }

    [EmulationFact]
    public void Replayed_steps_draw_new_dropout_masks()
    {
        using var run = new TrainingRun(
            backends.Of(DType.Float32),
            TrainingStepTests.Full with { Optimizer = TrainingStepTests.Full.Optimizer with { LearningRate = 0 } }, adapter: true);
        double[] losses = [.. Enumerable.Range(0, 4).Select(k => run.Step(k, [0, 1, 2]))];
        Assert.Equal(4, losses.Distinct().Count());
        Assert.Equal(losses[2], run.Step(2, [0, 1, 2]));
    }

    [EmulationFact]
    public void Shapes_met_before_neither_allocate_nor_record()
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using var run = new TrainingRun(
            backend, TrainingStepTests.Full with { Compute = TrainingStepTests.Full.Compute with { MicroBatchTokens = 12 } },
            adapter: true);
        for (int k = 0; k < 6; k++)
        {
            run.Step(k, s_steps[k % 2]);
        }

        (int allocations, int recorded) = (backend.Device.Allocations, backend.Graphs.Recorded);
        for (int k = 6; k < 10; k++)
        {
            run.Step(k, s_steps[k % 2]);
        }

        Assert.Equal((allocations, recorded), (backend.Device.Allocations, backend.Graphs.Recorded));
    }

    [EmulationFact]
    public void A_graph_is_used_from_the_second_time_on_and_forgotten_with_memory_or_age()
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using DeviceBuffer buffer = backend.Allocate(sizeof(float));
        Tensor x = buffer.AsTensor(new Shape(1), DType.Float32);
        int called = 0;
        void Add(int key) => backend.Repeat(key, 2f, factor =>
        {
            called++;
            backend.Scale(x, factor);
        });

        backend.Allocate(1).Dispose();
        Assert.Equal(0, backend.Graphs.Count);
        backend.Fill(x, 1);
        for (int i = 0; i < 4; i++)
        {
            Add(0);
        }

        // Once launched, once recorded, and launched as a graph three times.
        Assert.Equal((2, 1, 16f), (called, backend.Graphs.Count, Value(backend, x)));
        backend.Allocate(1).Dispose();
        Assert.Equal(0, backend.Graphs.Count);
        Add(0);
        Assert.Equal((3, 1, 32f), (called, backend.Graphs.Count, Value(backend, x)));
        for (int key = 1; key <= 70; key++)
        {
            backend.Fill(x, 1);
            Add(key);
            Add(key);
            Assert.Equal(4f, Value(backend, x));
        }

        Assert.Equal(64, backend.Graphs.Count);
        called = 0;
        Add(70);
        Assert.Equal(0, called);
        Add(0);
        Assert.Equal(1, called);
    }

    [EmulationFact]
    public void What_may_not_be_recorded_is_launched_as_it_is_after_one_line_with_the_reason()
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using DeviceBuffer buffer = backend.Allocate(sizeof(float));
        Tensor x = buffer.AsTensor(new Shape(1), DType.Float32);
        backend.Fill(x, 1);
        List<string> lines = [];
        backend.Graphs.Notice = lines.Add;
        object[] keys = [new(), new()];
        float value = 0;
        for (int i = 0; i < 6; i++)
        {
            // To wait for what is read is not allowed meanwhile.
            backend.Repeat(keys[i % 2], 0, _ =>
            {
                backend.Scale(x, 2);
                value = Value(backend, x);
            });
            Assert.Equal(MathF.Pow(2, i + 1), value);
        }

        Assert.Contains("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", Assert.Single(lines), StringComparison.Ordinal);
    }

    [EmulationFact]
    public void An_upload_is_not_recorded()
    {
        CudaBackend backend = backends.Of(DType.Float32);
        using DeviceBuffer buffer = backend.Allocate(sizeof(float));
        Tensor x = buffer.AsTensor(new Shape(1), DType.Float32);
        var key = new object();
        void Upload(float value) => backend.Repeat(key, value, v => backend.Upload([v], x));
        Upload(1);
        Assert.Throws<InvalidOperationException>(() => Upload(2));
        backend.Upload([3f], x);
        Assert.Equal(3f, Value(backend, x));
    }

    private static (List<double> Losses, float[] Weights) Train(CudaBackend backend, TrainingOptions options, bool adapter)
    {
        using var run = new TrainingRun(backend, options, adapter);
        List<double> losses = [.. s_steps.Select((chosen, k) => run.Step(k, chosen))];
        return (losses, run.Weights);
    }

    private static float Value(CudaBackend backend, Tensor x)
    {
        var value = new float[1];
        backend.Download(x, value.AsSpan());
        return value[0];
    }

    private sealed class TrainingRun : IDisposable
    {
        private readonly Decoder _decoder;
        private readonly TrainingOptions _options;
        private readonly TrainingStep _step;
        private readonly AdamWOptimizer _optimizer;
        private readonly TrainingSet _set;

        public TrainingRun(CudaBackend backend, TrainingOptions options, bool adapter)
        {
            _options = options;
            _decoder = new Decoder(
                s_model, backend, adapter ? s_lora : null, seed: 3, trainedType: options.Optimizer.TrainedType);
            _decoder.Initialize(5);
            foreach (Parameter b in _decoder.AdapterParameters.Where(p => p.Name.Contains("lora_B", StringComparison.Ordinal)))
            {
                // With B at zero, masks make no difference.
                b.SetRows(backend, 0, [.. Enumerable.Range(0, (int)b.Shape.Count).Select(i => 0.3f * MathF.Sin(i))]);
            }

            _step = new TrainingStep(_decoder, options);
            _optimizer = new AdamWOptimizer(backend, _decoder.TrainableParameters, options);
            TrainingSet set = TrainingStepTests.Examples(s_model.VocabularySize, 11, 5, 7);
            _set = set with { BaseLogProbabilities = [.. set.Signs.Select(s => Array.ConvertAll(s, _ => -2f))] };
        }

        public float[] Weights => TrainingStepTests.Concatenate(_decoder, p => p.Master);

        public double Step(int k, int[] chosen)
        {
            // λ, learning rate, clipping and step number change from step to step.
            _step.Begin(_set, chosen, k);
            StepLosses losses = _step.Accumulate(0.05 * (k + 1));
            _optimizer.Step(_options.Optimizer.LearningRate / (k + 1), Math.Min(1, (k + 1) / _step.GradientNorm()));
            return losses.Objective;
        }

        public void Dispose()
        {
            _optimizer.Dispose();
            _step.Dispose();
            _decoder.Dispose();
        }
    }
}
