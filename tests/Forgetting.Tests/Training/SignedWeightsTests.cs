using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Training;

public class SignedWeightsTests
{
    [Theory]
    [InlineData("full", 0.1, 0.1)]
    [InlineData("ignore", 0.125, 0)]
    [InlineData("forget", 0.125, -0.1)]
    public void Weights_of_eight_positive_and_two_negative_tokens(string method, double positive, double negative)
    {
        SignedWeights weights = SignedWeights.From(TrainingMethod.Named(method).Negatives, new TokenMass(8, 2), lambda: 0.2);
        Assert.Equal(positive, weights.Positive, 15);
        Assert.Equal(negative, weights.Negative, 15);
    }

    // Eight learnt, two forgotten and six ignored: the negative term is a mean over eight candidates, or over the two.
    [Theory]
    [InlineData(NegativeNormKind.Candidates, -0.2 / 8)]
    [InlineData(NegativeNormKind.Forgotten, -0.2 / 2)]
    public void The_negative_term_is_divided_by_the_candidates_or_by_the_forgotten(NegativeNormKind norm, double negative)
    {
        SignedWeights weights = SignedWeights.From(NegativeTokens.Forgotten, new TokenMass(8, 2, 6), lambda: 0.2, norm);
        Assert.Equal((0.125, negative), (weights.Positive, weights.Negative));
    }

    // Two positive tokens of weights 1 and 0.5, a negative of 2, an ignored of 0.5.
    [Fact]
    public void A_token_counts_as_many_times_as_its_weight_says()
    {
        TokenMass mass = TokenMass.From([1, 1, -1, 0], [1, 0.5f, 2, 0.5f]);
        Assert.Equal(new TokenMass(1.5, 2, 0.5), mass);
        SignedWeights weights = SignedWeights.From(NegativeTokens.Forgotten, mass, lambda: 0.25);
        Assert.Equal(1 / 3f, weights.For(1, 0.5f), 1e-6f);
        Assert.Equal(-0.2f, weights.For(-1, 2), 1e-6f); // 0.25 · 2 / (2 + 0.5)
        Assert.Equal(0.125f, SignedWeights.From(NegativeTokens.Learnt, mass, 0).For(1, 0.5f)); // 0.5 / 4
        Assert.Equal(new TokenMass(2, 1, 1), TokenMass.From([1, 1, -1, 0], []));
    }

    [Fact]
    public void A_term_without_tokens_is_zero()
    {
        Assert.Equal(new SignedWeights(0, -0.05), SignedWeights.From(NegativeTokens.Forgotten, new TokenMass(0, 4), 0.2));
        Assert.Equal(0, SignedWeights.From(NegativeTokens.Forgotten, new TokenMass(4, 0), 0.2).Negative);
        Assert.Equal(0, SignedWeights.From(NegativeTokens.Learnt, default, 0.2).Positive);
    }

    // Two micro-batches with losses 1, 2, 3 | 5 (positive) and 4 | 6, 8 (negative), λ 0.5: the mean of ((1 + 2 + 3)/3 − 0.5·4) and (5 −
    // 0.5·7) is 0.75, while the objective over the step is 11/4 − 0.5·18/3 = −0.25.
    [Fact]
    public void Compat_averages_the_means_of_micro_batches()
    {
        (double[] Positive, double[] Negative)[] parts = [([1, 2, 3], [4]), ([5], [6, 8])];
        double paper = 0;
        double step = 0;
        foreach ((double[] positive, double[] negative) in parts)
        {
            SignedWeights own =
                SignedWeights.OfMicroBatch(NegativeTokens.Forgotten, new TokenMass(positive.Length, negative.Length), 0.5, parts.Length);
            SignedWeights whole = SignedWeights.From(NegativeTokens.Forgotten, new TokenMass(4, 3), 0.5);
            paper += positive.Sum() * own.Positive + negative.Sum() * own.Negative;
            step += positive.Sum() * whole.Positive + negative.Sum() * whole.Negative;
        }

        Assert.Equal(0.75, paper, 12);
        Assert.Equal(-0.25, step, 12);
    }

    [Fact]
    public void Signs_choose_the_weight()
    {
        var weights = new SignedWeights(0.25, -0.5);
        Assert.Equal([0f, 0.25f, -0.5f], new sbyte[] { 0, 1, -1 }.Select(sign => weights.For(sign)));
        Assert.Equal(new TokenCounts(2, 1, 2), TokenCounts.From([0, 1, 1, -1, 0]));
        Assert.Equal(new TokenCounts(2, 1, 1), TokenCounts.From([0, 1, 1, -1, 0], [false, true, true, true, true]));
    }
}
