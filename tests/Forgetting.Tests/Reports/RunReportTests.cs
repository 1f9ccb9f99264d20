using Forgetting.Methods;
using Forgetting.Methods.LearningWithForgetting;
using Forgetting.Reports;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Reports;

public class RunReportTests
{
    // Two examples ranked by their means, 1 and −1, though each has a token on the other side of the cut.
    [Theory]
    [InlineData(PartitionLevel.Sequence, "influence", "learnt (1)", "mean influence of an example (nats)")]
    [InlineData(PartitionLevel.Token, "influence", "learnt (2)", "influence (nats)")]
    [InlineData(PartitionLevel.Token, "reference", "learnt (2)", "reference score (nats)")]
    [InlineData(PartitionLevel.Sequence, "blend", "learnt (1)", "mean blend score of an example (nats)")]
    public void The_histogram_shows_what_was_ranked(PartitionLevel level, string score, string learnt, string axis)
    {
        ScoredText[] scored = [new(0, [Token(3, 1), Token(-1, 1)]), new(1, [Token(-3, -1), Token(1, -1)])];
        string page = RunReport.Build("t", "l", [], scored, new ScoreCut(level, score, 0.5), "s").ToString();
        Assert.Contains(learnt, page, StringComparison.Ordinal);
        Assert.Contains($">{axis}</text>", page, StringComparison.Ordinal);
        Assert.Contains("cut 0.5", page, StringComparison.Ordinal);
        Assert.Equal(score == "influence", page.Contains("learnt the token; orange", StringComparison.Ordinal));
        Assert.Equal(score != "influence", page.Contains("above a score of 0.5", StringComparison.Ordinal));
    }

    [Fact]
    public void Unlearnt_samples_are_shown_with_their_times_and_ends()
    {
        // Confidences that differ only in the tenth digit.
        SampleText[] samples = [.. Enumerable.Range(0, 20).Select(i => new SampleText(
            new SelectionRecord { Index = i, Task = i < 10 ? "a" : "b", Confidence = 0.5 + (i - 10) * 1e-10, Selected = i >= 15 },
            $"prompt {i}", $"text {i}"))];
        StepMetrics[] metrics = [.. Enumerable.Range(1, 8).Select(step => new StepMetrics
        {
            Step = step, Loss = 1, PositiveLoss = 1, NegativeLoss = null, Lambda = 0, LearningRate = 1, GradNorm = 1, Tokens = 10,
            TokensPerSecond = 10, ElapsedSeconds = step, Unlearned = step == 5 ? [15, 3] : null,
        })];
        var summary = new UnlearningSummary { Samples = "s", Elicited = 20, Selected = 5, Cut = 0.5 + 5e-10, Constant = 0.5, Stages = [] };
        var report = new HtmlReport("t", "l");
        UnlearningReport.Add(report, metrics, summary, samples);
        string page = report.ToString();
        Assert.Contains("<title>sample 15 before step 5: prompt 15 → text 15</title>", page, StringComparison.Ordinal);
        Assert.Contains("<title>sample 3 before step 5: prompt 3 → text 3</title>", page, StringComparison.Ordinal);
        Assert.Contains("cut 5e-10", page, StringComparison.Ordinal);

        // Highest first, lowest last, with what tells them apart.
        string cells = System.Text.RegularExpressions.Regex.Replace(page, "<td[^>]*>([^<]*)</td>", "$1|");
        Assert.Contains("text 19|b|9e-10|yes|", cells, StringComparison.Ordinal);
        Assert.Contains("text 0|a|-1e-9||", cells, StringComparison.Ordinal);
        Assert.DoesNotContain("text 10|", cells, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_link_of_a_page_leads_to_a_part_of_it_and_no_two_parts_have_a_name()
    {
        StepMetrics[] metrics = [.. Enumerable.Range(1, 8).Select(step => new StepMetrics
        {
            Step = step, Loss = 1, PositiveLoss = 1, NegativeLoss = 2, Lambda = 0.5, LearningRate = 1, GradNorm = 1, Tokens = 10,
            TokensPerSecond = 10, ElapsedSeconds = step, PositiveGradNorm = 1, NegativeGradNorm = 1, GradientCosine = -0.5,
        })];
        ScoredText[] scored = [new(0, [Token(3, 1), Token(-1, -1)])];
        string page = RunReport.Build(
            "t", "cross-entropy in nats & influence, influence", metrics, scored, new ScoreCut(PartitionLevel.Token, "influence", 0.5), "s")
            .ToString();
        string[] ids = [.. Matches("id=\"([^\"]*)\"")], links = [.. Matches("href=\"#([^\"]*)\"")];
        Assert.Equal(ids.Distinct(), ids);
        Assert.Empty(links.Except(ids));
        Assert.Contains("<li><a href=\"#part-1\">Learning and forgetting</a></li>", page, StringComparison.Ordinal);
        foreach (string term in new[] { "influence", "cosine", "cross-entropy", "nats", "weight", "learning-rate", "gradient-norm" })
        {
            Assert.Contains($"term-{term}", links);
        }

        // The first place of a term in a text alone, and text that is data stays as it is.
        Assert.Contains(">influence</a>, influence</p>", page, StringComparison.Ordinal);
        Assert.Contains(" &amp; <a class=\"term\"", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<title><a", page, StringComparison.Ordinal);

        IEnumerable<string> Matches(string pattern) =>
            System.Text.RegularExpressions.Regex.Matches(page, pattern).Select(match => match.Groups[1].Value);
    }

    private static HeatMapToken Token(double influence, int sign) => new("x", influence, sign, 1, 1, "");
}
