using System.Globalization;
using System.Text.RegularExpressions;
using Forgetting.Reports;
using Xunit;

namespace Forgetting.Tests.Reports;

/// <summary>What charts and heat maps say, read back from what they draw.</summary>
public partial class ChartTests
{
    [Fact]
    public void A_thing_keeps_its_colour_where_another_has_no_values()
    {
        Series none = new("a", [(1, double.NaN)]), some = new("b", [(1, 2), (2, 3)]);
        string chart = Charts.Lines("title", "x", "y", [none, some]);
        Assert.Contains("<h3>title</h3>", chart, StringComparison.Ordinal);
        Assert.Contains("<span class=\"key s1\"></span>b", chart, StringComparison.Ordinal);
        Assert.Contains("<polyline class=\"s1\"", chart, StringComparison.Ordinal);
        Assert.DoesNotContain("s0", chart, StringComparison.Ordinal);
    }

    [Fact]
    public void More_things_than_colours_are_told_apart()
    {
        string chart = Charts.Lines("t", "x", "y", [.. Enumerable.Range(0, 24).Select(i => new Series($"run {i}", [(1, i), (2, i)]))]);
        string[] styles = [.. Keys().Matches(chart).Select(m => m.Groups[1].Value)];
        Assert.Equal(24, styles.Distinct().Count());
    }

    // A constant at 0, at 0.2 and at −3; and one that moves, whose axis must not go below 0 where it does not.
    [Theory]
    [InlineData(0, 0, 0, 1)]
    [InlineData(0.2, 0.2, 0, 0.25)]
    [InlineData(-3, -3, -3.75, 0)]
    [InlineData(0.01, 10, 0, 10.4995)]
    [InlineData(-1, 1, -1.1, 1.1)]
    public void Axes_begin_where_values_can(double low, double high, double from, double to)
    {
        (double Low, double High) margins = PlotArea.Margins(low, high, zeroBased: false);
        Assert.Equal(from, margins.Low, 1e-12);
        Assert.Equal(to, margins.High, 1e-12);
    }

    [Fact]
    public void Steps_have_no_halves() => Assert.Equal([1, 2, 3], Svg.Ticks(1, 3, 6, whole: true));

    [Fact]
    public void A_band_goes_there_and_back()
    {
        string chart = Charts.Lines("t", "x", "y", [new Series("a", [(0, 1), (1, 2)], [(0, 0, 2), (1, 1, 3)])]);
        string[] points = Band().Match(chart).Groups[1].Value.Split(' ');
        double[] ys = [.. points.Select(p => double.Parse(p.Split(',')[1], CultureInfo.InvariantCulture))];
        Assert.Equal(4, points.Length);

        // Downwards on paper: the lower values 0 and 1, then the higher ones 3 and 2, at equal distances.
        double unit = ys[0] - ys[1];
        Assert.Equal(
            (3 * unit, 2 * unit), (ys[0] - ys[2], ys[0] - ys[3]),
            (a, b) => Math.Abs(a.Item1 - b.Item1) < 0.3 && Math.Abs(a.Item2 - b.Item2) < 0.3);
    }

    [Fact]
    public void Values_far_out_are_said()
    {
        // 1000 values from 0 to 9.99 and one at 500; the outer half percent on either side is 5 values.
        double[] values = [.. Enumerable.Range(0, 1000).Select(i => i / 100.0), 500];
        string chart = Charts.Histogram("t", "x", "tokens", [new HistogramGroup("a", values, 0)], cut: null);
        Assert.Contains("In the end bins: 5 below 0.05, the lowest 0; 5 above 9.95, the highest 500.", chart, StringComparison.Ordinal);
        Assert.DoesNotContain(
            "In the end bins", Charts.Histogram("t", "x", "tokens", [new HistogramGroup("a", [1, 2, 3], 0)], null),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_heat_map_says_what_its_colours_mean_and_cuts_long_examples()
    {
        HeatMapToken[] tokens = [.. Enumerable.Repeat(new HeatMapToken("é", 2, -1, 3, 1), 500), new HeatMapToken("", 1, 1, 1, 1)];
        string map = TokenHeatMap.Render([("example 3", tokens), ("short", [tokens[^1]])], new("influence", "what it is", 0, 4));
        Assert.Contains("<span>-4</span><span>0</span><span>+4</span>", map, StringComparison.Ordinal);
        Assert.DoesNotContain("ignored", map, StringComparison.Ordinal);
        Assert.Contains("101 more tokens", map, StringComparison.Ordinal);
        Assert.Contains(">&#233;</span>", map, StringComparison.Ordinal);
        Assert.Contains(">·</i></span>", map.Replace("<i>", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    // Where 0 means nothing colours part at the cut; an ignored token is told from the prompt.
    [Fact]
    public void A_heat_map_of_a_reference_score_parts_colours_at_the_cut()
    {
        string map = TokenHeatMap.Render(
            [("e", [new("a", double.NaN, 0, 1, 1), new("b", -1, 1, 1, 1), new("c", -3, 0, 1, 3), new("d", -5, -1, 1, 5)])],
            new HeatMapScale("reference score", "minus a loss", -2, 2));
        Assert.Contains("<span>-4</span><span>-2</span><span>0</span>", map, StringComparison.Ordinal);
        Assert.Contains("<span class=\"prompt\">a</span>", map, StringComparison.Ordinal);
        Shown("learn", "learn", "42.5", "-1 nats (learnt)");
        Shown("ignored", "forget", "42.5", "-3 nats (ignored)");
        Shown("forget", "forget", "85", "-5 nats (negative)");

        void Shown(string kind, string colour, string strength, string hover) => Assert.Contains(
            $"<span class=\"{kind}\" style=\"background:rgb(var(--{colour}-rgb) / {strength}%)\" title=\"reference score {hover}", map,
            StringComparison.Ordinal);
    }

    [GeneratedRegex("class=\"key ([^\"]*)\"")]
    private static partial Regex Keys();

    [GeneratedRegex("class=\"band s0\" points=\"([^\"]*)\"")]
    private static partial Regex Band();
}
