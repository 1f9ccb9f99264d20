using Forgetting.Backends.Cpu;
using Forgetting.Tensors;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

/// <summary>Products in bfloat16 train as Float32 does: 200 steps of either method.</summary>
public class BFloat16TrainingTests
{
    [Theory]
    [InlineData("full")]
    [InlineData("forget")]
    public void The_loss_curve_stays_within_two_percent_of_float32(string method)
    {
        TrainingOptions options = TinyRun.Full with
        {
            Method = TrainingMethod.Named(method),
            Schedule = TinyRun.Full.Schedule with { BatchSize = 12, Steps = 200 },
            Optimizer = TinyRun.Full.Optimizer with { LearningRate = 2e-3 },
            TokenForgetting = TinyRun.Full.TokenForgetting with { LambdaMax = 0.1 },
        };
        IReadOnlyList<StepMetrics> exact = Curve(options, new CpuBackend(2)), rounded = Curve(options, new CpuBackend(2, DType.BFloat16));
        Assert.True(exact[^1].PositiveLoss < 0.9 * exact[0].PositiveLoss, "nothing was learnt");
        Assert.NotEqual(exact[^1].PositiveLoss, rounded[^1].PositiveLoss);
        for (int i = 0; i < exact.Count; i++)
        {
            Assert.InRange(rounded[i].PositiveLoss!.Value / exact[i].PositiveLoss!.Value, 0.98, 1.02);
            if (exact[i].NegativeLoss is { } negative)
                Assert.InRange(rounded[i].NegativeLoss!.Value / negative, 0.98, 1.02);
        }
    }

    private static IReadOnlyList<StepMetrics> Curve(TrainingOptions options, CpuBackend backend)
    {
        using var run = new TinyRun(options, backend);
        run.Trainer().Run();
        return StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"));
    }
}
