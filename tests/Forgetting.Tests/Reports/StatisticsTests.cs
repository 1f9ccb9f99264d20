using Forgetting.Reports;
using Xunit;

namespace Forgetting.Tests.Reports;

public class StatisticsTests
{
    // Mean 2, deviations −1, 0, 1: variance 1, standard error 1/√3. Of three differences with one sign each
    // assignment has probability 1/4 two-sided.
    [Fact]
    public void Paired_differences_have_their_standard_error_and_a_sign_test()
    {
        PairedDifference paired = Statistics.Paired([1, 2, 3]);
        Assert.Equal((2, 3, 0, 0.25), (paired.Mean, paired.Better, paired.Worse, paired.P));
        Assert.Equal(1 / Math.Sqrt(3), paired.StandardError, 12);
        Assert.True(paired.IsClear);
        Assert.Equal("+2.0 ± 0.6 (3/0)", paired.ToText("0.0"));
    }

    // Binomial(10, 1/2): P(X ≤ 1) = 11/1024, two-sided 22/1024; with 5 of 10 it is 1.
    [Theory]
    [InlineData(9, 1, 22.0 / 1024)]
    [InlineData(10, 0, 2.0 / 1024)]
    [InlineData(5, 5, 1)]
    public void The_sign_test_is_the_exact_binomial_one_without_ties(int better, int worse, double p)
    {
        double[] differences = [.. Enumerable.Repeat(1.0, better), .. Enumerable.Repeat(-1.0, worse), 0, 0];
        Assert.Equal(p, Statistics.Paired(differences).P, 12);
        Assert.Equal((better, worse), (Statistics.Paired(differences).Better, Statistics.Paired(differences).Worse));
    }

    [Fact]
    public void A_single_difference_has_no_error_and_is_not_clear()
    {
        PairedDifference paired = Statistics.Paired([-3]);
        Assert.True(double.IsNaN(paired.StandardError));
        Assert.False(paired.IsClear);
        Assert.Equal("−3.0", paired.ToText("0.0"));
    }
}
