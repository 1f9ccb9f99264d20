using System.Globalization;

namespace Forgetting.Reports;

/// <summary>Values of a histogram that share a colour.</summary>
/// <param name="Name">Name in the legend, to which the count is added.</param>
/// <param name="Values">The values; those that are not finite are left out.</param>
/// <param name="Style">Number of its colour.</param>
internal sealed record HistogramGroup(string Name, IReadOnlyList<double> Values, int Style);

// Histograms.
internal static partial class Charts
{
    /// <summary>
    /// Stacked histogram of one or more groups over common bins, with an optional cut. What lies far out is in the
    /// end bins, which a line below says.
    /// </summary>
    /// <param name="title">What the chart shows; stands above it.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">What is counted.</param>
    /// <param name="groups">The groups, from the bottom up.</param>
    /// <param name="cut">Where to draw the line between the parts, or null.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Histogram(string title, string xLabel, string yLabel, IReadOnlyList<HistogramGroup> groups, double? cut)
    {
        const int Bins = 60;
        double[] all = [.. groups.SelectMany(g => g.Values).Where(double.IsFinite).Order()];
        if (all.Length == 0)
            return $"<p class=\"empty\">{Svg.Text(title)}: no values.</p>";

        // The outer half percent on either side goes into the end bins: a single outlier must not flatten the rest.
        double low = all[all.Length / 200], high = all[all.Length - 1 - (all.Length / 200)];
        if (!(high > low))
            (low, high) = (low - 0.5, low + 0.5);

        var counts = new int[groups.Count, Bins];
        for (int g = 0; g < groups.Count; g++)
        {
            foreach (double value in groups[g].Values.Where(double.IsFinite))
            {
                counts[g, Math.Clamp((int)((value - low) / (high - low) * Bins), 0, Bins - 1)]++;
            }
        }

        int highest = Enumerable.Range(0, Bins).Max(b => Enumerable.Range(0, groups.Count).Sum(g => counts[g, b]));
        var area = new PlotArea(Width, Height, low, high, 0, highest * 1.05) { WholeY = true };
        StringWriter output =
            Begin(title, [.. groups.Select(g => ($"{g.Name} ({g.Values.Count.ToString("N0", CultureInfo.InvariantCulture)})", g.Style))]);
        area.Open(output, title);
        area.WriteFrame(output, xLabel, yLabel);
        double binWidth = (high - low) / Bins;
        for (int b = 0; b < Bins; b++)
        {
            int below = 0;
            for (int g = 0; g < groups.Count; g++)
            {
                if (counts[g, b] == 0)
                    continue;

                double x = area.X(low + (b * binWidth)), right = area.X(low + ((b + 1) * binWidth));
                double y = area.Y(below + counts[g, b]), bottom = area.Y(below);
                output.Write($"<rect class=\"bar {Class(groups[g].Style)}\" x=\"{Svg.N(x)}\" y=\"{Svg.N(y)}\" width=\"{Svg.N(right - x)}\" "
                    + $"height=\"{Svg.N(bottom - y)}\">");
                output.Write($"<title>{Svg.Text(groups[g].Name)}: "
                    + $"{counts[g, b]} in {Svg.Value(low + (b * binWidth))} to {Svg.Value(low + ((b + 1) * binWidth))}</title></rect>");
                below += counts[g, b];
            }
        }

        if (cut is { } at && at >= low && at <= high)
        {
            // On the side with more room.
            bool left = area.X(at) > Width * 0.7;
            output.Write($"<line class=\"cut\" x1=\"{Svg.N(area.X(at))}\" x2=\"{Svg.N(area.X(at))}\" y1=\"{Svg.N(area.Y(0))}\" "
                + $"y2=\"{Svg.N(area.Y(area.YHigh))}\"/>");
            output.Write($"<text class=\"label\" text-anchor=\"{(left ? "end" : "start")}\" x=\"{Svg.N(area.X(at) + (left ? -5 : 5))}\" "
                + $"y=\"24\">cut {Svg.Value(at)}</text>");
        }

        output.Write("</svg>");
        string[] outside =
        [
            .. Outside(all.Count(v => v < low), "below", low, "lowest", all[0]),
            .. Outside(all.Count(v => v > high), "above", high, "highest", all[^1]),
        ];
        if (outside.Length > 0)
            output.Write($"<p class=\"note\">In the end bins: {Svg.Text(string.Join("; ", outside))}.</p>");

        output.Write(End);
        return output.ToString();
    }

    private static string[] Outside(int count, string side, double bound, string most, double extreme) =>
        count == 0
        ? []
        : [string.Create(CultureInfo.InvariantCulture, $"{count:N0} {side} {Svg.Value(bound)}, the {most} {Svg.Value(extreme)}")];
}
