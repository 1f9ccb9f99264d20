using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>TOFU's measures of what was forgotten and kept.</summary>
public class TofuTests
{
    // The three examples in the documentation of SciPy's ks_2samp (1.3 and later): 200 and 300 numbers at
    // distances 125, 62 and 48 six-hundredths.
    [Theory]
    [InlineData(125, 5.129279597781977e-05)]
    [InlineData(62, 0.14691437867433876)]
    [InlineData(48, 0.4115432028915931)]
    public void P_values_are_the_published_ones(int distance, double expected) =>
        Assert.Equal(expected, KolmogorovSmirnov.PValue(distance * 100, 200, 300), 1e-9 * expected);

    [Theory]
    // Of the 20 orders of three and three numbers 2 part them wholly.
    [InlineData("1 2 3", "4 5 6", 1, 0.1)]
    // 3/4 and more: 16 of the 70 paths from (0, 0) to (4, 4) come three steps off the diagonal.
    [InlineData("1 2 3 7", "4 5 6 8", 0.75, 16 / 70.0)]
    [InlineData("1 1 2 3", "3 2 1 1", 0, 1)]
    // 26 of the 56 orders of five and three numbers come to a distance of 3/5.
    [InlineData("1 2 3 4.5 6", "4 5 7", 0.6, 26 / 56.0)]
    public void Distance_and_p_value_of_small_samples_are_those_counted_by_hand(string one, string other, double distance, double expected)
    {
        (double found, double pValue) = KolmogorovSmirnov.Test(Numbers(one), Numbers(other));
        Assert.Equal(distance, found, 1e-12);
        Assert.Equal(expected, pValue, 1e-12);
        Assert.Equal(pValue, KolmogorovSmirnov.Test(Numbers(other), Numbers(one)).PValue, 1e-12);
    }

    [Fact]
    public void A_p_value_far_below_a_double_s_precision_is_exact()
    {
        // Wholly parted: 2 of C(80, 40) orders.
        double orders = 1;
        for (int i = 1; i <= 40; i++)
        {
            orders *= (40.0 + i) / i;
        }

        Assert.Equal(1, KolmogorovSmirnov.PValue(1600, 40, 40) * orders / 2, 1e-10);
    }

    [Fact]
    public void Truth_ratio_is_the_geometric_mean_of_the_wrong_over_the_right()
    {
        // √(0.2 · 0.8) / 0.5 = 0.8, from sums of which each is twice the logarithm: two tokens.
        double[] each = [0.5, 0.2, 0.8];
        Assert.Equal(0.8, Metrics.TruthRatio([.. each.Select(p => new LogLikelihood(2 * Math.Log(p), 2, 0, 0))]), 1e-12);
    }

    [Fact]
    public void Extraction_strength_is_the_share_of_the_end_that_greedy_generation_gives()
    {
        Assert.Equal(0.75, new LogLikelihood(-1, 4, 3, 3).ExtractionStrength);
        Assert.Equal((1, true), (new LogLikelihood(-1, 4, 4, 4).ExtractionStrength, new LogLikelihood(-1, 4, 4, 4).IsGreedy));
        Assert.Equal(0.5, new LogLikelihood(-1, 4, 0, 2).ExactMemorization);
        Assert.Equal((0, false), (new LogLikelihood(-1, 4, 0, 2).ExtractionStrength, new LogLikelihood(-1, 4, 0, 2).IsGreedy));
    }

    [Fact]
    public void Model_utility_is_the_harmonic_mean_of_nine_figures()
    {
        // Three at 1/2, three at 1/4, three at 1: 9 / (6 + 12 + 3) = 3/7.
        Dictionary<string, IReadOnlyList<MetricValue>> results = new()
        {
            ["tofu_retain_probability"] = [Metric("probability", 0.5)],
            ["tofu_retain_rouge"] = [Metric("rougeL_recall", 0.25)],
            ["tofu_retain_truth_ratio"] = [Metric("truth_ratio", 9), Metric("truth_ratio_true_better", 1)],
            ["tofu_real_authors"] = [Metric("acc", 0), Metric("probability", 0.5), Metric("truth_ratio_true_better", 1)],
            ["tofu_real_authors_rouge"] = [Metric("rougeL_recall", 0.25)],
            ["tofu_world_facts"] = [Metric("probability", 0.5), Metric("truth_ratio_true_better", 1)],
            ["tofu_world_facts_rouge"] = [Metric("rougeL_recall", 0.25)],
        };
        Assert.Equal(3 / 7.0, TofuSummary.ModelUtility(results)!.Value, 1e-12);
        Assert.All(results, pair => Assert.Equal(
            pair.Value.Select(metric => metric.Name),
            new TaskLibrary().Find(pair.Key).Metrics.Where(name => pair.Value.Any(metric => metric.Name == name))));
        results["tofu_retain_rouge"] = [Metric("rougeL_recall", 0)];
        Assert.Equal(0, TofuSummary.ModelUtility(results));
        results.Remove("tofu_world_facts");
        Assert.Null(TofuSummary.ModelUtility(results));

        static MetricValue Metric(string name, double value) => new(name, "none", value, StandardError: null);
    }

    [Fact]
    public void Forget_quality_compares_the_samples_of_two_runs()
    {
        using var folder = new TemporaryFolder();
        string Samples(string name, params double[] ratios) =>
            folder.Write(name, string.Concat(
                ratios.Select((ratio, i) => FormattableString.Invariant($"{{\"doc_hash\": \"{i}\", \"truth_ratio\": {ratio}}}\n"))));
        string own = Samples("own.jsonl", 1, 2, 3);
        Assert.Equal(0.1, TofuSummary.ForgetQuality(own, Samples("retain/samples_tofu_forget_truth_ratio_2026.jsonl", 4, 5, 6)), 1e-12);
        Assert.Equal(1, TofuSummary.ForgetQuality(own, own));
        Samples("retain/samples_tofu_forget_truth_ratio_2025.jsonl", 4);
        Assert.Equal(folder["retain", "samples_tofu_forget_truth_ratio_2026.jsonl"], TofuSummary.FindSamples(folder["retain"]));

        string fewer = Samples("fewer.jsonl", 4, 5);
        Assert.Equal(
            $"{fewer}: 2 items, which are not the 3 of {own}; expected those of the same file with the same limit",
            Assert.Throws<UserException>(() => TofuSummary.ForgetQuality(own, fewer)).Message);
        string malformed =
            folder.Write("malformed.jsonl", "{\"doc_hash\": \"0\", \"truth_ratio\": 1}\n{\"doc_hash\": \"1\", \"truth_ratio\": \"1\"}\n");
        Assert.Equal(
            $"{malformed}: line 2: 'truth_ratio' is the string \"1\"; expected a number",
            Assert.Throws<UserException>(() => TofuSummary.ForgetQuality(own, malformed)).Message);
        Assert.StartsWith(
            $"{folder.Path}: no samples_tofu_forget_truth_ratio_*.jsonl; expected results of the retain model",
            Assert.Throws<UserException>(() => TofuSummary.FindSamples(folder.Path)).Message, StringComparison.Ordinal);
    }

    private static double[] Numbers(string text) =>
        [.. text.Split(' ').Select(number => double.Parse(number, System.Globalization.CultureInfo.InvariantCulture))];
}
