using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Reports;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Paired tests against values worked by hand, and comparisons of evaluations that share some of their documents.</summary>
public class ComparisonTests
{
    // X ~ Binomial(won + lost, 1/2). 2 against 8: P(X ≤ 2) = (1 + 10 + 45)/1024, so p = 2·56/1024 − 45/1024. 0 against 5: 2/32 − 1/32.
    // 3 against 3: 1 − C(6, 3)/64/2. 1 against 1: 1 − (2/4)/2.
    [Theory]
    [InlineData(2, 8, 67.0 / 1024)]
    [InlineData(8, 2, 67.0 / 1024)]
    [InlineData(0, 5, 1.0 / 32)]
    [InlineData(3, 3, 1 - 20.0 / 128)]
    [InlineData(1, 1, 0.75)]
    [InlineData(0, 1, 0.5)]
    public void McNemar_mid_p_is_what_the_binomial_gives(int won, int lost, double expected) =>
        Assert.Equal(expected, PairedTests.McNemarMidP(won, lost), 1e-12);

    [Fact]
    public void McNemar_without_differences_says_nothing()
    {
        Assert.Equal(1, PairedTests.McNemarMidP(0, 0));

        // Large counts neither overflow nor vanish: by the normal approximation z = 100/√10000 = 1, p = 0.3173.
        Assert.Equal(0.3173, PairedTests.McNemarMidP(5050, 4950), 1e-3);
    }

    // All signs of 1, 2, 3: sums ±6, ±4, ±2, 0, 0, of which two are as far from 0 as 6. Of 1, 2, −1 the sum is 2; sums 4, 2,
    // 2, 0, 0, −2, −2, −4: six of eight.
    [Theory]
    [InlineData(new double[] { 1, 2, 3 }, 0.25)]
    [InlineData(new double[] { -1, -2, -3, 0, 0 }, 0.25)]
    [InlineData(new double[] { 1, 2, -1 }, 0.75)]
    [InlineData(new double[] { 0.1, 0.2, -0.3 }, 1)]
    [InlineData(new double[] { 0, 0 }, 1)]
    [InlineData(new double[] { }, 1)]
    public void Permutation_counts_all_signs_of_few_differences(double[] differences, double expected) =>
        Assert.Equal(expected, PairedTests.Permutation(differences), 1e-12);

    [Fact]
    public void Permutation_draws_signs_of_many_differences()
    {
        // Of equal differences the sum depends on the number of signs alone: with 60 of 100 positive p = 2·P(X ≥
        // 60) = 0.0569, X ~ Binomial(100, 1/2).
        double[] differences = [.. Enumerable.Range(0, 100).Select(i => i < 60 ? 0.5 : -0.5)];
        double p = PairedTests.Permutation(differences);
        Assert.Equal(0.0569, p, 0.01);
        Assert.Equal(p, PairedTests.Permutation(differences));

        // No assignment is as extreme: the least p that so many samples can show.
        Assert.Equal(1.0 / (PairedTests.Samples + 1), PairedTests.Permutation([.. Enumerable.Repeat(1.0, 40)]), 1e-12);
    }

    [Fact]
    public void Evaluations_are_tested_over_the_documents_that_both_have()
    {
        using var folder = new TemporaryFolder();

        // Over the documents b to k the second has two that the first has not, and the first eight; a and l are in one only.
        string first = Write(folder, "first", "t1", "abcdefghijk", "10011111111", 9.0 / 11),
            second = Write(folder, "second", "t2", "kjihgfedcbl", "00000000110", 2.0 / 11);
        string third = Write(folder, "third", "t3", "xyz", "000", 0);
        ComparedMetric metric = Assert.Single(
            EvaluationComparison.Compare([EvaluationOutput.Read(first), EvaluationOutput.Read(second), EvaluationOutput.Read(third)]));
        Assert.Equal(("sst5", "acc", "none"), (metric.Task, metric.Metric, metric.Filter));
        Assert.Equal(new ComparedValue(first, 9.0 / 11, 0.125, 11, null, null, null, null, null, null), metric.Runs[0]);
        Assert.Equal((2.0 / 11, -0.6, 10, 2, 8, "McNemar mid-p"), (
            metric.Runs[1].Value, Math.Round(metric.Runs[1].Difference!.Value, 12), metric.Runs[1].Paired, metric.Runs[1].Better,
            metric.Runs[1].Worse, metric.Runs[1].Test));
        Assert.Equal(67.0 / 1024, metric.Runs[1].PValue!.Value, 1e-12);
        Assert.Equal((0, null), (metric.Runs[2].Paired, metric.Runs[2].PValue));

        // Of three a row each, so that any number of them fits a page.
        Assert.Equal(
            [
                ["sst5", "acc", "first", "0.8182 ± 0.1250", "", "", ""],
                ["sst5", "acc", "second", "0.1818 ± 0.1250", "-0.6000", "0.0654", "10 (+2 −8)"],
                ["sst5", "acc", "third", "0.0000 ± 0.1250", "–", "–", "0 (+0 −0)"],
            ], EvaluationComparison.Table([metric]).Rows);
        IReadOnlyList<string> row = Assert.Single(EvaluationComparison.Table([metric with { Runs = [.. metric.Runs.Take(2)] }]).Rows);
        Assert.Equal(["sst5", "acc", "0.8182 ± 0.1250", "0.1818 ± 0.1250", "-0.6000", "0.0654", "10 (+2 −8)"], row);
        Assert.Contains("0.0654", CompareReport.Build([], [metric]).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Of_several_results_in_a_folder_the_newest_counts_and_without_samples_there_is_no_test()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "first", "2026-01-01", "ab", "11", 0.5);
        string first = Write(folder, "first", "2026-01-02", "ab", "10", 0.75),
            second = Write(folder, "second", "2026-01-01", "ab", "01", 0.5);
        File.Delete(Path.Combine(second, "samples_sst5_2026-01-01.jsonl"));
        ComparedMetric metric = Assert.Single(EvaluationComparison.Compare([EvaluationOutput.Read(first), EvaluationOutput.Read(second)]));
        Assert.Equal(0.75, metric.Runs[0].Value);
        Assert.Contains("eval --log-samples", EvaluationComparison.Notes([metric])[^1], StringComparison.Ordinal);
        Assert.Equal((-0.25, null, null), (metric.Runs[1].Difference, metric.Runs[1].Paired, metric.Runs[1].PValue));
        Assert.Equal(1, EvaluationOutput.Read(first).Scores("sst5", "acc", "none")!.Values.Sum());
        Assert.Equal(
            "nowhere: holds no evaluation: expected results_*.json",
            Assert.Throws<UserException>(() => EvaluationOutput.Read("nowhere")).Message);

        File.WriteAllText(
            Path.Combine(first, "samples_sst5_2026-01-02.jsonl"), "{\"doc_id\": 0, \"doc_hash\": \"a\", \"acc\": 1}\n{\"doc_id\": 1");
        Assert.Contains(
            "samples_sst5_2026-01-02.jsonl: line 2",
            Assert.Throws<UserException>(() => EvaluationOutput.Read(first).Scores("sst5", "acc", "none")).Message,
            StringComparison.Ordinal);
    }

    // A mean over languages of the languages' means, say: here of the first document alone and of the others.
    [Fact]
    public void A_metric_that_is_no_mean_of_its_documents_is_not_tested()
    {
        using var folder = new TemporaryFolder();
        string first = Write(folder, "first", "t1", "abc", "011", 0.5), second = Write(folder, "second", "t1", "abc", "111", 1);
        ComparedMetric metric = Assert.Single(EvaluationComparison.Compare([EvaluationOutput.Read(first), EvaluationOutput.Read(second)]));
        Assert.Equal(
            (0.5, null, null, null), (metric.Runs[1].Difference, metric.Runs[1].Paired, metric.Runs[1].Test, metric.Runs[1].PValue));
    }

    // A document a letter of names, and its score.
    private static string Write(TemporaryFolder folder, string name, string time, string documents, string scores, double value)
    {
        string path = folder[name];
        Directory.CreateDirectory(path);
        File.WriteAllText(
            Path.Combine(path, $"results_{time}.json"),
            FormattableString.Invariant($$"""
                {"results": {"sst5": {"alias": "sst5", "acc,none": {{value}}, "acc_stderr,none": 0.125} },
                 "n-samples": {"sst5": {"original": 20, "effective": {{documents.Length}} } } }
                """));
        File.WriteAllLines(
            Path.Combine(path, $"samples_sst5_{time}.jsonl"),
            documents.Select(
                (document, i) => $$"""{"doc_id": {{i}}, "doc_hash": "{{document}}", "filter": "none", "acc": {{scores[i]}}.0}"""));
        return path;
    }
}
