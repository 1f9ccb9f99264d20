using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class ScheduleTests
{
    // Values of get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup (transformers) with 10 warm-up steps of 100, peak 1.
    [Theory]
    [InlineData(LrScheduleKind.Linear, 0, 0)]
    [InlineData(LrScheduleKind.Linear, 5, 0.5)]
    [InlineData(LrScheduleKind.Linear, 10, 1)]
    [InlineData(LrScheduleKind.Linear, 55, 0.5)]
    [InlineData(LrScheduleKind.Linear, 99, 1.0 / 90)]
    [InlineData(LrScheduleKind.Cosine, 5, 0.5)]
    [InlineData(LrScheduleKind.Cosine, 10, 1)]
    [InlineData(LrScheduleKind.Cosine, 40, 0.75)]
    [InlineData(LrScheduleKind.Cosine, 55, 0.5)]
    [InlineData(LrScheduleKind.Constant, 9, 0.9)]
    [InlineData(LrScheduleKind.Constant, 99, 1)]
    public void Learning_rate_follows_its_closed_form(LrScheduleKind kind, int step, double expected) =>
        Assert.Equal(expected, new LearningRateSchedule(kind, 1, 0.1, 100).At(step), 12);

    [Theory]
    [InlineData(0.03, 100, 3)]
    [InlineData(0.03, 101, 4)]
    [InlineData(0.07, 100, 7)]
    [InlineData(0, 100, 0)]
    public void Warm_up_is_rounded_up_to_whole_steps(double ratio, int steps, int expected) =>
        Assert.Equal(expected, new LearningRateSchedule(LrScheduleKind.Linear, 1, ratio, steps).WarmupSteps);

    // transformers' trainer takes ceil(ratio · steps), open-instruct's script int(ratio · steps).
    [Theory]
    [InlineData(Compatibility.None, 4)]
    [InlineData(Compatibility.Paper, 3)]
    public void The_papers_program_rounds_its_warm_up_down(Compatibility compatibility, int expected) =>
        Assert.Equal(expected, new LearningRateSchedule(LrScheduleKind.Linear, 1, 0.03, 104, compatibility).WarmupSteps);

    [Theory]
    [InlineData(LrScheduleKind.Linear)]
    [InlineData(LrScheduleKind.Cosine)]
    [InlineData(LrScheduleKind.Constant)]
    public void The_only_step_of_a_run_is_not_at_rate_0(LrScheduleKind kind) =>
        Assert.Equal(1e-4, new LearningRateSchedule(kind, 1e-4, 0.03, 1).At(0));

    [Fact]
    public void A_run_that_only_warms_up_rises_throughout()
    {
        var schedule = new LearningRateSchedule(LrScheduleKind.Linear, 1, 1, 4);
        Assert.Equal([0, 0.25, 0.5, 0.75], Enumerable.Range(0, 4).Select(schedule.At));
    }

    [Fact]
    public void Lambda_rises_in_equal_steps_over_the_whole_run()
    {
        var schedule = new LambdaSchedule(
            new TrainingOptions { TokenForgetting = new() { LambdaMin = 0.05, LambdaMax = 0.25 } }, steps: 8, stepsPerEpoch: 4);
        Assert.Equal(0.05, schedule.At(0), 15);
        Assert.Equal(0.15, schedule.At(4), 15);
        Assert.Equal(0.225, schedule.At(7), 15);
    }

    [Fact]
    public void Default_lambda_is_the_papers()
    {
        var schedule = new LambdaSchedule(new TrainingOptions(), steps: 100, stepsPerEpoch: 100);
        Assert.Equal(1e-5, schedule.At(0), 15);
        Assert.Equal(1e-5 + (0.25 - 1e-5) * 0.4, schedule.At(40), 15);
    }

    [Fact]
    public void Compat_lambda_omits_the_minimum_and_restarts_each_epoch_while_all_epochs_count()
    {
        var options = new TrainingOptions { Compat = Compatibility.Paper, TokenForgetting = new() { LambdaMin = 0.05, LambdaMax = 0.25 } };
        var schedule = new LambdaSchedule(options, steps: 8, stepsPerEpoch: 4);
        double[] expected = [0, 0.03125, 0.0625, 0.09375, 0, 0.03125, 0.0625, 0.09375];
        Assert.Equal(expected, Enumerable.Range(0, 8).Select(schedule.At));
    }

    [Fact]
    public void Constant_lambda_is_the_maximum() =>
        Assert.Equal(
            0.25, new LambdaSchedule(new TrainingOptions { TokenForgetting = new() { Lambda = LambdaKind.Constant } }, 10, 10).At(0));

    [Fact]
    public void Adaptive_lambda_keeps_the_negative_gradient_below_the_fraction()
    {
        var options = new TrainingOptions
        {
            TokenForgetting = new() { Lambda = LambdaKind.Adaptive, LambdaMin = 0, LambdaMax = 0.2, LambdaFraction = 0.5 },
        };
        var schedule = new LambdaSchedule(options, 10, 10);
        Assert.Equal(0.1, schedule.At(5), 15);
        schedule.Measure(positiveNorm: 3, negativeNorm: 20);
        Assert.Equal(0.075, schedule.At(5), 15);
        Assert.Equal(0.5 * 3, schedule.At(5) * 20, 12);
        schedule.Measure(positiveNorm: 3, negativeNorm: 0);
        Assert.Equal(0.1, schedule.At(5), 15);
    }

    [Fact]
    public void A_measurement_moves_only_adaptive_lambda()
    {
        var schedule = new LambdaSchedule(new TrainingOptions(), 10, 10);
        double before = schedule.At(9);
        schedule.Measure(1e-6, 1);
        Assert.Equal(before, schedule.At(9));
    }
}
