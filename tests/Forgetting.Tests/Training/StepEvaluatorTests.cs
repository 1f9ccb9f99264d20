using System.Text.Json;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

/// <summary>When a training evaluates, what it writes down, and that nothing of it is lost or changes the training.</summary>
public class StepEvaluatorTests
{
    private static readonly TrainingOptions s_options =
        TinyRun.Lora with
        {
            Evaluation = TinyRun.Lora.Evaluation with { Every = 4, Tasks = ["x"], DataDir = "." },
            Checkpoints = TinyRun.Lora.Checkpoints with { Every = 1 },
        };

    [Fact]
    public void Evaluations_are_every_so_many_steps_and_after_the_last_and_leave_the_training_as_it_is()
    {
        using var plain = new TinyRun(TinyRun.Lora);
        plain.Trainer().Run();
        using var run = new TinyRun(s_options);
        var evaluator = new Losses(run);
        Trainer(run, evaluator).Run();

        Assert.Equal(plain.Weights(), run.Weights());
        Assert.Equal([4, 6], evaluator.Steps);
        StepMetrics[] metrics = [.. StepMetrics.Read(Path.Combine(run.Folder, "metrics.jsonl"))];
        Assert.Equal([4, 6], metrics.Where(m => m.Evaluation != null).Select(m => m.Step));
        Assert.Equal(evaluator.Values, metrics.Where(m => m.Evaluation != null).Select(m => m.Evaluation!["loss"]));
        Assert.All(metrics, m => Assert.Equal(m.Evaluation is null, m.EvaluationSeconds is null));

        // The time of the evaluations is none of the training's.
        Assert.True(metrics[^1].ElapsedSeconds >= metrics[^2].ElapsedSeconds);
        Assert.DoesNotContain("evaluation", JsonSerializer.Serialize(metrics[0], IO.JsonLines.Options), StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_without_an_interval_evaluates_after_the_last_step()
    {
        using var run = new TinyRun(s_options with { Evaluation = s_options.Evaluation with { Every = 0 } });
        var evaluator = new Losses(run);
        Trainer(run, evaluator).Run();
        Assert.Equal([6], evaluator.Steps);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(6)]
    public void An_evaluation_that_was_cut_short_is_made_when_the_run_resumes(int step)
    {
        using var whole = new TinyRun(s_options);
        var wholeEvaluator = new Losses(whole);
        Trainer(whole, wholeEvaluator).Run();

        using var cut = new TinyRun(s_options with { Checkpoints = s_options.Checkpoints with { Every = 0 } });
        using var source = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => Trainer(cut, new Losses(cut, step, source.Cancel)).Run(cancellation: source.Token));
        Assert.Equal(step - 1, File.ReadAllLines(Path.Combine(cut.Folder, "metrics.jsonl")).Length);

        Assert.Equal([$"step-{step:D6}"], Directory.GetDirectories(Path.Combine(cut.Folder, "checkpoints")).Select(Path.GetFileName));

        using var resumed = new TinyRun(s_options with { Checkpoints = s_options.Checkpoints with { Every = 0 } });
        var evaluator = new Losses(resumed);
        new Trainer(resumed.Decoder, resumed.Set, resumed.Options, cut.Folder, evaluator: evaluator).Run(resume: true);
        Assert.Equal(wholeEvaluator.Steps.Where(s => s >= step), evaluator.Steps);
        Assert.Equal(wholeEvaluator.Best, evaluator.Best);
        Assert.Equal(whole.Weights(), resumed.Weights());
        Assert.Equal(
            StepMetrics.Read(Path.Combine(whole.Folder, "metrics.jsonl")).Select(m => (m.Step, m.Loss, m.Evaluation?["loss"])),
            StepMetrics.Read(Path.Combine(cut.Folder, "metrics.jsonl")).Select(m => (m.Step, m.Loss, m.Evaluation?["loss"])));
    }

    private static Trainer Trainer(TinyRun run, IStepEvaluator evaluator) =>
        new(run.Decoder, run.Set, run.Options, run.Folder, evaluator: evaluator);

    /// <summary>The loss of the first example; does something in the midst of one evaluation.</summary>
    private sealed class Losses(TinyRun run, int step = 0, Action? amid = null) : IStepEvaluator
    {
        public List<int> Steps { get; } = [];

        public List<double> Values { get; } = [];

        public BestStep? Best { get; set; }

        public IReadOnlyDictionary<string, double> Evaluate(int done, CancellationToken cancellation)
        {
            if (done == step)
                amid!();

            cancellation.ThrowIfCancellationRequested();
            double loss =
                Forgetting.Methods.Scorer.Losses(run.Decoder, [run.Set.Examples[0]], 100, allTokens: true, cancellation: cancellation)[0]
                    .Sum();
            Steps.Add(done);
            Values.Add(loss);
            if (Best is null || loss < Best.Value)
                Best = new BestStep(done, "loss", loss);

            return new Dictionary<string, double> { ["loss"] = loss };
        }

        public void Rehearse(Forgetting.Models.Decoder decoder) => throw new NotSupportedException("no memory is planned here");
    }
}
