using Forgetting.Core;
using Forgetting.Methods.TokenForgetting;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Methods;

public class PartitionTests
{
    // Two examples; the first token of each is a prompt. Response influences: 0.5, −1, 2 | 0.5, 0.1. Ranking: 2, 0.5
    // (example 0), 0.5 (example 1), 0.1, −1.
    private static readonly float[][] s_influence = [[9, 0.5f, -1, 2], [9, 0.5f, 0.1f]];
    private static readonly bool[][] s_response = [[false, true, true, true], [false, true, true]];

    [Theory]
    [InlineData(0.4, new sbyte[] { 0, 1, -1, 1 }, new sbyte[] { 0, -1, -1 }, 0.5)]
    [InlineData(0.6, new sbyte[] { 0, 1, -1, 1 }, new sbyte[] { 0, 1, -1 }, 0.5)]
    [InlineData(0.7, new sbyte[] { 0, 1, -1, 1 }, new sbyte[] { 0, 1, -1 }, 0.5)]
    [InlineData(1, new sbyte[] { 0, 1, 1, 1 }, new sbyte[] { 0, 1, 1 }, -1)]
    [InlineData(0.1, new sbyte[] { 0, -1, -1, -1 }, new sbyte[] { 0, -1, -1 }, double.NaN)]
    public void Tokens_are_ranked_over_all_examples_and_ties_keep_their_order(double rho, sbyte[] first, sbyte[] second, double cut)
    {
        Partition partition = Partition.From(s_influence, s_response, new(PartitionLevel.Token, rho));
        Assert.Equal(first, partition.Signs[0]);
        Assert.Equal(second, partition.Signs[1]);
        Assert.Equal(cut, partition.Cut, 6);
    }

    [Fact]
    public void Shuffled_signs_are_as_many_on_other_tokens_and_a_function_of_the_seed()
    {
        var random = new Random(4);
        float[][] score = [.. Enumerable.Range(0, 40).Select(_ => Enumerable.Range(0, 10).Select(_ => random.NextSingle()).ToArray())];
        bool[][] response = [.. score.Select(s => s.Select((_, t) => t > 1).ToArray())];
        Partition Of(ulong? seed) => Partition.From(score, response, new(PartitionLevel.Token, 0.75) { Shuffle = seed });
        Partition plain = Of(null), shuffled = Of(7);
        Assert.Equal(plain.Counts, shuffled.Counts);
        Assert.All(shuffled.Signs, signs => Assert.Equal([0, 0], signs[..2]));
        Assert.Equal(shuffled.Signs.SelectMany(s => s), Of(7).Signs.SelectMany(s => s));
        Assert.NotEqual(shuffled.Signs.SelectMany(s => s), Of(8).Signs.SelectMany(s => s));

        // A quarter is negative whatever the score: of the 80 lowest about 20.
        int both = plain.Signs.SelectMany(s => s).Zip(shuffled.Signs.SelectMany(s => s)).Count(p => p is (-1, -1));
        Assert.InRange(both, 8, 32);
    }

    // Means: 0.5 and 0.3.
    [Fact]
    public void Sequences_are_ranked_by_their_mean_and_share_a_sign()
    {
        Partition partition = Partition.From(s_influence, s_response, new(PartitionLevel.Sequence, 0.5));
        Assert.Equal(new sbyte[] { 0, 1, 1, 1 }, partition.Signs[0]);
        Assert.Equal(new sbyte[] { 0, -1, -1 }, partition.Signs[1]);
        Assert.Equal(new TokenCounts(3, 2), partition.Counts);
    }

    [Fact]
    public void An_example_without_response_takes_no_part_in_the_ranking_of_sequences()
    {
        Partition partition =
            Partition.From([[5, 5], [1, 1], [2, 2]], [[false, false], [true, true], [false, true]], new(PartitionLevel.Sequence, 0.5));
        Assert.Equal(new sbyte[] { 0, 0 }, partition.Signs[0]);
        Assert.Equal(new sbyte[] { -1, -1 }, partition.Signs[1]);
        Assert.Equal(new sbyte[] { 0, 1 }, partition.Signs[2]);
    }

    // Ten tokens at 4 nats; rounding is then 4e-6.
    [Theory]
    [InlineData(new[] { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0f }, 0.7, true)]
    [InlineData(new[] { 1, 1, 1, 0, 1e-6f, 0, 0, 0, -1e-6f, 0 }, 0.5, true)]
    [InlineData(new[] { 1, 1, 1, 1, 1, 0, 0, 0, 0, 0f }, 0.7, false)]
    [InlineData(new[] { 1, 1, 1, 1, 1, 1, 1, 0, 0, 0f }, 0.7, false)]
    [InlineData(new[] { 0, 1e-5f, 2e-5f, 3e-5f, 4e-5f, 5e-5f, 6e-5f, 7e-5f, 8e-5f, 9e-5f }, 0.7, false)]
    [InlineData(new[] { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0f }, 1, false)]
    public void Influences_that_are_the_same_on_both_sides_of_the_cut_are_refused(float[] influence, double rho, bool refused)
    {
        Exception? error = Record.Exception(() => Partition.OfInformative(
            [influence], [[.. Enumerable.Repeat(4f, 10)]], [[.. Enumerable.Repeat(true, 10)]], new(PartitionLevel.Token, rho)));
        Assert.Equal(refused, error is UserException);
    }

    [Theory]
    [InlineData(0.29, 100, 29)]
    [InlineData(0.7, 10, 7)]
    [InlineData(0.57, 100, 57)]
    [InlineData(0.7, 9, 6)]
    [InlineData(1, 2_000_000_001, 2_000_000_001)]
    public void Rounding_down_does_not_lose_a_token_to_binary_fractions(double rho, int count, int expected) =>
        Assert.Equal(expected, Partition.PositiveCount(count, rho));

    [Theory]
    [InlineData(0.7)]
    [InlineData(0.33)]
    public void Agrees_with_a_stable_sort(double rho)
    {
        var random = new Random(5);
        bool[][] response =
            [.. Enumerable.Range(0, 40).Select(_ => Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(3) > 0).ToArray())];

        // Few distinct values of both signs, −0 among them, so that there are many ties.
        float[][] influence =
            [.. response.Select(r => r.Select(_ => MathF.CopySign(random.Next(4) * 0.25f, random.Next(2) - 0.5f)).ToArray())];
        var all = new List<(int Example, int Token, float Value)>();
        for (int i = 0; i < response.Length; i++)
        {
            all.AddRange(Enumerable.Range(0, response[i].Length).Where(t => response[i][t]).Select(t => (i, t, influence[i][t])));
        }

        HashSet<(int, int)> positive =
            [.. all.OrderByDescending(a => a.Value).Take((int)(rho * all.Count)).Select(a => (a.Example, a.Token))];
        Partition partition = Partition.From(influence, response, new(PartitionLevel.Token, rho));
        Assert.Equal(new TokenCounts(positive.Count, all.Count - positive.Count), partition.Counts);
        Assert.All(all, a => Assert.Equal(positive.Contains((a.Example, a.Token)) ? 1 : -1, partition.Signs[a.Example][a.Token]));
    }

    [Fact]
    public void A_score_that_is_not_finite_is_refused() =>
        Assert.Equal(
            "the score of token 1 of example 0 is NaN, expected a finite number",
            Assert.Throws<UserException>(() => Partition.From([[0, float.NaN]], [[true, true]], new(PartitionLevel.Token, 0.7))).Message);

    // Ranking as above: 2, 0.5, 0.5, 0.1, −1. Of five tokens 0.4 are two, and 0.4 more are ignored.
    [Fact]
    public void A_part_between_learnt_and_forgotten_is_ignored()
    {
        Partition partition = Partition.From(s_influence, s_response, new(PartitionLevel.Token, 0.4, 0.4));
        Assert.Equal(new sbyte[] { 0, 1, -1, 1 }, partition.Signs[0]);
        Assert.Equal(new sbyte[] { 0, 0, 0 }, partition.Signs[1]);
        Assert.Equal(new TokenCounts(2, 1, 2), partition.Counts);
        Assert.Equal((0.5, -1), (partition.Cut, partition.ForgetCut));
    }

    [Fact]
    public void Thresholds_divide_where_they_are_given()
    {
        Partition partition = Partition.From(s_influence, s_response, new(PartitionLevel.Token, 0.1) { Thresholds = (0.5, 0) });
        Assert.Equal(new sbyte[] { 0, 1, -1, 1 }, partition.Signs[0]);
        Assert.Equal(new sbyte[] { 0, 1, 0 }, partition.Signs[1]);
        Assert.Equal(new TokenCounts(3, 1, 1), partition.Counts);
    }

    // By hand: of −10, −9, −1, 0, 0 (mean −4) the cut between −1 and −9 leaves 3·(11/3)² + 2·5.5² = 100.83 of 102 between the sides;
    // of 0, 0, 1, 1 all lies between them.
    [Fact]
    public void Otsus_cut_leaves_the_most_variance_between_its_sides()
    {
        OtsuCut cut = OtsuCut.From([0, 0, -1, -9, -10]);
        Assert.Equal((3, (3 * Math.Pow(11.0 / 3, 2) + 2 * 5.5 * 5.5) / 102), (cut.Above, cut.Separation));
        Assert.Equal(new OtsuCut(2, 1), OtsuCut.From([1, 1, 0, 0]));
        Assert.Equal(new OtsuCut(3, 0), OtsuCut.From([2, 2, 2]));

        Partition partition =
            Partition.From([[-10, 0, -9], [0, -1]], [[true, true, true], [true, true]], new(PartitionLevel.Token, Share.Auto));
        Assert.Equal(new TokenCounts(3, 2), partition.Counts);
        Assert.Equal(new sbyte[] { -1, 1, -1 }, partition.Signs[0]);
    }

    // Otsu's criterion tried at every cut, from its definition: the weighted variances within the two sides are least.
    [Fact]
    public void Otsus_cut_agrees_with_the_least_variance_within()
    {
        var random = new Random(3);
        for (int trial = 0; trial < 50; trial++)
        {
            float[] values = [.. Enumerable.Range(0, random.Next(2, 40)).Select(_ => random.Next(12) * 0.5f).OrderDescending()];
            static double Within(IEnumerable<float> side)
            {
                double mean = side.Average(v => (double)v);
                return side.Sum(v => (v - mean) * (v - mean));
            }

            var cuts = Enumerable.Range(1, values.Length - 1).Where(k => values[k] < values[k - 1])
                .Select(k => (Above: k, Within: Within(values.Take(k)) + Within(values.Skip(k)))).ToList();
            if (cuts.Count > 0)
                Assert.Equal(cuts.Min(c => c.Within), cuts.Single(c => c.Above == OtsuCut.From(values).Above).Within, 9);
        }
    }
}
