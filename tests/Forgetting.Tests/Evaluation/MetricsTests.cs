using Forgetting.Evaluation;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Every metric against numbers worked out by hand.</summary>
public class MetricsTests
{
    [Fact]
    public void Accuracy_takes_the_highest_sum_and_the_first_of_equals()
    {
        Assert.Equal(1, Metrics.Accuracy([-3, -1, -2], 1));
        Assert.Equal(0, Metrics.Accuracy([-3, -1, -2], 2));
        Assert.Equal(1, Metrics.Accuracy([-1, -1], 0));
        Assert.Equal(0, Metrics.Accuracy([-1, -1], 1));
    }

    [Fact]
    public void Normalized_accuracy_divides_by_characters()
    {
        // -4/2 = -2 and -6/6 = -1; 𝒜 is one character of two UTF-16 units: -3/1 = -3 against -4/2 = -2.
        Assert.Equal(1, Metrics.NormalizedAccuracy([-4, -6], ["no", "indeed"], 1));
        Assert.Equal(1, Metrics.NormalizedAccuracy([-3, -4], ["𝒜", "no"], 1));
        Assert.Equal(0, Metrics.Accuracy([-4, -6], 1));
    }

    [Fact]
    public void True_share_is_probability_of_the_true_over_all()
    {
        // (0.2 + 0.1) / (0.2 + 0.1 + 0.3) = 0.5, and the same far below the smallest double.
        double[] logs = [Math.Log(0.2), Math.Log(0.1), Math.Log(0.3)];
        Assert.Equal(0.5, Metrics.TrueShare(logs, 2), 1e-12);
        Assert.Equal(0.5, Metrics.TrueShare([.. logs.Select(value => value - 2000)], 2), 1e-9);
    }

    [Theory]
    [InlineData("She sells 9.\n#### 18", "18", "18")]
    [InlineData("#### -1,250.", "-1,250.", "-1,250.")]
    [InlineData("It is $7 and then 12 eggs", "[invalid]", "12")]
    [InlineData("no number", "[invalid]", "[invalid]")]
    public void Gsm8k_answers_are_extracted(string text, string strict, string flexible)
    {
        EvaluationTask task = new TaskLibrary().Find("gsm8k");
        Assert.Equal(["strict-match", "flexible-extract"], task.Filters.Select(filter => filter.Name));
        Assert.Equal(strict, Metrics.Extract(text, task.Filters[0]));
        Assert.Equal(flexible, Metrics.Extract(text, task.Filters[1]));
    }

    [Theory]
    [InlineData("1,250.", "Some steps 5 * 3\n#### 1250", 1)]
    [InlineData("$18", "x\n#### 18", 1)]
    [InlineData("181", "x\n#### 18", 0)]
    [InlineData("[invalid]", "x\n#### 18", 0)]
    public void Gsm8k_answers_match_without_commas_dollars_and_a_final_point(string answer, string target, double expected) =>
        Assert.Equal(expected, Metrics.ExactMatch(answer, target, new TaskLibrary().Find("gsm8k").Ignored));

    [Fact]
    public void Exact_match_ignores_case_and_nothing_else()
    {
        Assert.Equal(1, Metrics.ExactMatch("Paris", "paris", []));
        Assert.Equal(0, Metrics.ExactMatch("Paris ", "paris", []));
        Assert.Equal(1, Metrics.ExactMatch("Paris ", "paris", [new AnswerPattern(@"\s", "test")]));
    }

    [Fact]
    public void Standard_error_is_sd_with_n_minus_1_over_root_n()
    {
        // Mean 0.75, squares 3·0.0625 + 0.5625 = 0.75; √(0.75/3/4) = 0.25.
        Assert.Equal(0.25, Metrics.StandardError([1, 1, 1, 0]), 1e-12);
        Assert.True(double.IsNaN(Metrics.StandardError([1])));
    }

    [Fact]
    public void Words_are_counted_as_python_s_split_does()
    {
        Assert.Equal(3, Metrics.Words("to be\n\tor"));
        Assert.Equal(4, Metrics.Words(" to be or"));
    }
}
