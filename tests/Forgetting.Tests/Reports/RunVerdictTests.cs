using Forgetting.Methods;
using Forgetting.Reports;
using Forgetting.Runs;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Reports;

/// <summary>Sentences about runs whose numbers are known.</summary>
public class RunVerdictTests
{
    [Fact]
    public void Where_nothing_is_negative_it_is_the_training_loss() => Assert.Equal(
        ["Training loss fell from 3 to 1 nats over 20 steps.", NothingHeldOut],
        RunVerdict.Sentences(Steps(step => step <= 2 ? 3 : 1, _ => null), new RunPurpose(TrainingMethod.Full, 100, 0)));

    [Theory]
    [InlineData("forget", 2.0, 5.0, "were to be unlearnt: their loss rose from 2 to 5 nats, so what was to go went.")]
    [InlineData(
        "forget", 4.08, 3.43, "were to be unlearnt: their loss fell from 4.08 to 3.43 nats, so what was to go did not go.")]
    [InlineData(
        "forget", 4.0, 4.01,
        "were to be unlearnt: their loss hardly moved, from 4 to 4.01 nats, so what was to go did not go.")]
    [InlineData("ignore", 2.0, 3.0, "were left out: their loss rose from 2 to 3 nats by itself.")]
    public void Negative_tokens_have_their_share_and_their_fate(string method, double before, double after, string fate)
    {
        IReadOnlyList<string> sentences =
            RunVerdict.Sentences(
                Steps(_ => 1, step => step <= 2 ? before : after), new RunPurpose(TrainingMethod.Named(method), 60, 30, 30));
        Assert.Equal($"25 % of the response tokens (30 of 120) are negative and {fate}", sentences[1]);
        Assert.StartsWith("The loss of the tokens to learn hardly moved, from 1 to 1", sentences[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Samples_that_were_learnt_instead_of_unlearnt_are_told()
    {
        var unlearning = new UnlearningSummary { Samples = "s", Elicited = 40, Selected = 10, Cut = 0, Constant = null, Stages = [] };
        StepMetrics[] steps = [.. Steps(_ => 1, _ => null).Select(m => m.Step % 5 == 0 ? m with { ForgetLoss = 5 - m.Step / 5 } : m)];
        Assert.Contains(
            "10 of 40 self-generated samples of other tasks were to be unlearnt in steps of their own: their loss, as they were met, "
                + "fell from 4 to 1 nats, so what was to go did not go.",
            RunVerdict.Sentences(steps, new RunPurpose(TrainingMethod.Lwf, 100, 0, 0, unlearning)));

        // What was measured before and after counts for more than the samples as they were met.
        Assert.Contains(
            "10 of 40 given samples were to be unlearnt in steps of their own: their loss rose from 4 to 6 nats, so what was to go went.",
            RunVerdict.Sentences(
                steps, new RunPurpose(TrainingMethod.Lwf, 100, 0, 0, unlearning with { Given = true, LossBefore = 4, LossAfter = 6 })));
    }

    [Fact]
    public void The_same_tokens_before_and_after_count_for_more_than_one_batch_and_another()
    {
        var outcome = new TrainingOutcome { LearntBefore = 3, LearntAfter = 2, NegativeBefore = 2, NegativeAfter = 1.5, Vocabulary = 512 };
        IReadOnlyList<string> sentences =
            RunVerdict.Sentences(Steps(_ => 1, step => step), new RunPurpose(TrainingMethod.Forget, 60, 40, Outcome: outcome));
        Assert.Equal("The loss of the tokens to learn fell from 3 to 2 nats over 20 steps, on the examples of the first.", sentences[0]);
        Assert.EndsWith("their loss fell from 2 to 1.5 nats, so what was to go did not go.", sentences[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Held_out_measures_are_given_before_and_after()
    {
        StepMetrics[] steps = [.. Steps(_ => 1, _ => null)
            .Select(m => m.Step % 10 == 0 ? m with { Evaluation = new Dictionary<string, double> { ["boolq/acc"] = m.Step / 40.0 } } : m)];
        var purpose = new RunPurpose(TrainingMethod.Full, 100, 0);
        Assert.Equal("Held-out boolq/acc: 0.25 after step 10, 0.5 after step 20.", RunVerdict.Sentences(steps, purpose)[^1]);
        Assert.Equal(
            "Held-out boolq/acc: 0.5 after step 20, and nothing earlier to compare with.",
            RunVerdict.Sentences([.. steps.Skip(10)], purpose)[^1]);

        // At the top of the page, before any chart.
        string page = RunReport.Build("t", "l", steps, [], default!, "s", purpose: purpose).ToString();
        Assert.True(page.IndexOf("Held-out boolq/acc: 0.25", StringComparison.Ordinal) < page.IndexOf("<svg", StringComparison.Ordinal));
        Assert.DoesNotContain("negative", page[page.IndexOf("<body>", StringComparison.Ordinal)..], StringComparison.Ordinal);
    }

    private const string NothingHeldOut =
        "Nothing was measured on held-out data, for which valid-data, valid-fraction or eval-tasks would be the setting: "
        + "all of this is about the training data.";

    private static StepMetrics[] Steps(Func<int, double?> positive, Func<int, double?> negative) =>
        [.. Enumerable.Range(1, 20).Select(step => new StepMetrics
        {
            Step = step, Loss = 1, PositiveLoss = positive(step), NegativeLoss = negative(step), Lambda = 0, LearningRate = 1, GradNorm = 1,
            Tokens = 10, TokensPerSecond = 10, ElapsedSeconds = step,
        })];
}
