using System.Globalization;
using System.Text;

namespace Forgetting.Reports;

/// <summary>A named curve; points whose y is NaN are left out.</summary>
/// <param name="Name">Name in the legend.</param>
/// <param name="Points">Points in the order of x.</param>
public sealed record Series(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Charts as inline SVG: no script is needed to read them, and hovering shows the numbers.</summary>
public static class Charts
{
    private const double Width = 640, Height = 300;

    // More points than pixels only make the file large.
    private const int MostPoints = 320;

    /// <summary>Curves over a common axis.</summary>
    /// <param name="label">What the chart shows, for screen readers.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">Name of the vertical axis with its unit.</param>
    /// <param name="series">The curves.</param>
    /// <param name="zeroBased">Whether the vertical axis must contain 0.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Lines(string label, string xLabel, string yLabel, IReadOnlyList<Series> series, bool zeroBased = false)
    {
        List<Series> drawn = Drawn(series);
        if (drawn.Count == 0)
        {
            return $"<p class=\"empty\">{Svg.Text(label)}: no values.</p>";
        }

        PlotArea area = Area(drawn, zeroBased);
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write("<figure>");
        WriteLegend(output, [.. drawn.Select(s => s.Name)]);
        area.Open(output, label);
        area.WriteFrame(output, xLabel, yLabel);
        WriteLines(output, area, drawn);
        output.Write("</svg></figure>");
        return output.ToString();
    }

    /// <summary>The curves of <see cref="Lines"/> as a file of their own, with title and legend in the drawing and every point marked.</summary>
    /// <param name="title">Stands above the drawing.</param>
    /// <param name="series">At least one curve with a value.</param>
    /// <returns>An SVG document.</returns>
    public static string LinesFile(string title, string xLabel, string yLabel, IReadOnlyList<Series> series, bool zeroBased = false)
    {
        const double Head = 48;
        List<Series> drawn = Drawn(series);
        PlotArea area = Area(drawn, zeroBased);
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Svg.N(Width)} {Svg.N(Height + Head)}\" role=\"img\" aria-label=\"{Svg.Text(title)}\">");
        output.Write($"<style>{HtmlReport.Style}svg {{ font-family: system-ui, sans-serif; }} svg .hit {{ opacity: 1; r: 3px; }}</style><rect width=\"100%\" height=\"100%\" fill=\"var(--panel)\"/>");
        output.Write($"<text x=\"14\" y=\"20\">{Svg.Text(title)}</text><text x=\"14\" y=\"40\">");
        for (int i = 0; i < drawn.Count; i++)
        {
            output.Write($"<tspan class=\"s{i % 8}\" style=\"fill: currentColor\" dx=\"{(i == 0 ? 0 : 16)}\">● {Svg.Text(drawn[i].Name)}</tspan>");
        }

        output.Write($"</text><g transform=\"translate(0 {Svg.N(Head)})\">");
        area.WriteFrame(output, xLabel, yLabel);
        WriteLines(output, area, drawn);
        output.Write("</g></svg>\n");
        return output.ToString();
    }

    private static List<Series> Drawn(IReadOnlyList<Series> series) =>
        [.. series.Select(s => new Series(s.Name, [.. s.Points.Where(p => double.IsFinite(p.Y))])).Where(s => s.Points.Count > 0)];

    private static PlotArea Area(List<Series> drawn, bool zeroBased)
    {
        var points = drawn.SelectMany(s => s.Points).ToList();
        double low = points.Min(p => p.Y), high = points.Max(p => p.Y);
        (low, high) = zeroBased ? (Math.Min(0, low), Math.Max(0, high)) : (low, high);
        double margin = (high - low) * 0.05;
        return new PlotArea(
            Width, Height, points.Min(p => p.X), points.Max(p => p.X), zeroBased && low == 0 ? 0 : low - margin, high + margin);
    }

    private static void WriteLines(StringWriter output, PlotArea area, List<Series> drawn)
    {
        for (int i = 0; i < drawn.Count; i++)
        {
            IReadOnlyList<(double X, double Y)> thinned = Thin(drawn[i].Points);
            string path = string.Join(' ', thinned.Select(p => $"{Svg.N(area.X(p.X))},{Svg.N(area.Y(p.Y))}"));
            output.Write($"<polyline class=\"s{i % 8}\" points=\"{path}\"/>");
            foreach ((double x, double y) in thinned)
            {
                output.Write($"<circle class=\"hit s{i % 8}\" r=\"5\" cx=\"{Svg.N(area.X(x))}\" cy=\"{Svg.N(area.Y(y))}\">");
                output.Write($"<title>{Svg.Text(drawn[i].Name)}: {Svg.Value(y)} at {Svg.Value(x)}</title></circle>");
            }
        }
    }

    /// <summary>Stacked histogram of one or more groups over common bins, with an optional cut.</summary>
    /// <param name="label">What the chart shows.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">What is counted.</param>
    /// <param name="groups">Name and values of each group; non-finite values are left out.</param>
    /// <param name="cut">Where to draw the line between the parts, or null.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Histogram(string label, string xLabel, string yLabel, IReadOnlyList<(string Name, IReadOnlyList<double> Values)> groups, double? cut)
    {
        const int Bins = 60;
        double[] all = [.. groups.SelectMany(g => g.Values).Where(double.IsFinite).Order()];
        if (all.Length == 0)
        {
            return $"<p class=\"empty\">{Svg.Text(label)}: no values.</p>";
        }

        // The outer half percent on either side goes into the end bins: a single outlier must not flatten the rest.
        double low = all[all.Length / 200], high = all[all.Length - 1 - all.Length / 200];
        if (!(high > low))
        {
            (low, high) = (low - 0.5, low + 0.5);
        }

        var counts = new int[groups.Count, Bins];
        for (int g = 0; g < groups.Count; g++)
        {
            foreach (double value in groups[g].Values.Where(double.IsFinite))
            {
                counts[g, Math.Clamp((int)((value - low) / (high - low) * Bins), 0, Bins - 1)]++;
            }
        }

        int highest = Enumerable.Range(0, Bins).Max(b => Enumerable.Range(0, groups.Count).Sum(g => counts[g, b]));
        var area = new PlotArea(Width, Height, low, high, 0, highest * 1.05);
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write("<figure>");
        WriteLegend(output, [.. groups.Select(g => $"{g.Name} ({g.Values.Count.ToString("N0", CultureInfo.InvariantCulture)})")]);
        area.Open(output, label);
        area.WriteFrame(output, xLabel, yLabel);
        double binWidth = (high - low) / Bins;
        for (int b = 0; b < Bins; b++)
        {
            int below = 0;
            for (int g = 0; g < groups.Count; g++)
            {
                if (counts[g, b] == 0)
                {
                    continue;
                }

                double x = area.X(low + b * binWidth), right = area.X(low + (b + 1) * binWidth);
                double y = area.Y(below + counts[g, b]), bottom = area.Y(below);
                output.Write($"<rect class=\"bar s{g % 8}\" x=\"{Svg.N(x)}\" y=\"{Svg.N(y)}\" width=\"{Svg.N(right - x)}\" height=\"{Svg.N(bottom - y)}\">");
                output.Write($"<title>{Svg.Text(groups[g].Name)}: {counts[g, b]} in {Svg.Value(low + b * binWidth)} to {Svg.Value(low + (b + 1) * binWidth)}</title></rect>");
                below += counts[g, b];
            }
        }

        if (cut is { } at && at >= low && at <= high)
        {
            output.Write($"<line class=\"cut\" x1=\"{Svg.N(area.X(at))}\" x2=\"{Svg.N(area.X(at))}\" y1=\"{Svg.N(area.Y(0))}\" y2=\"{Svg.N(area.Y(area.YHigh))}\"/>");
            output.Write($"<text class=\"label\" x=\"{Svg.N(area.X(at) + 5)}\" y=\"26\">cut {Svg.Value(at)}</text>");
        }

        output.Write("</svg></figure>");
        return output.ToString();
    }

    /// <summary>Dots, such as events over time; hovering shows what each is.</summary>
    /// <param name="label">What the chart shows.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">Name of the vertical axis with its unit.</param>
    /// <param name="groups">Name and dots of each group.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Dots(string label, string xLabel, string yLabel, IReadOnlyList<(string Name, IReadOnlyList<(double X, double Y, string Title)> Dots)> groups)
    {
        var dots = groups.SelectMany(g => g.Dots).ToList();
        if (dots.Count == 0)
        {
            return $"<p class=\"empty\">{Svg.Text(label)}: none.</p>";
        }

        double low = dots.Min(d => d.Y), high = dots.Max(d => d.Y), margin = (high - low) * 0.05;
        var area = new PlotArea(Width, Height, dots.Min(d => d.X), dots.Max(d => d.X), low - margin, high + margin);
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write("<figure>");
        WriteLegend(output, [.. groups.Select(g => g.Name)]);
        area.Open(output, label);
        area.WriteFrame(output, xLabel, yLabel);
        for (int g = 0; g < groups.Count; g++)
        {
            foreach ((double x, double y, string title) in groups[g].Dots)
            {
                output.Write($"<circle class=\"dot s{g % 8}\" r=\"2.5\" cx=\"{Svg.N(area.X(x))}\" cy=\"{Svg.N(area.Y(y))}\"><title>{Svg.Text(title)}</title></circle>");
            }
        }

        output.Write("</svg></figure>");
        return output.ToString();
    }

    private static void WriteLegend(StringWriter output, IReadOnlyList<string> names)
    {
        var legend = new StringBuilder("<figcaption>");
        for (int i = 0; i < names.Count; i++)
        {
            legend.Append(CultureInfo.InvariantCulture, $"<span class=\"key s{i % 8}\"></span>{Svg.Text(names[i])} ");
        }

        output.Write(legend.Append("</figcaption>"));
    }

    // Means over equal stretches, so that a long run's curve keeps its level and loses only its noise.
    private static IReadOnlyList<(double X, double Y)> Thin(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count <= MostPoints)
        {
            return points;
        }

        var thinned = new List<(double, double)>(MostPoints);
        for (int i = 0; i < MostPoints; i++)
        {
            int from = (int)((long)i * points.Count / MostPoints), to = (int)((long)(i + 1) * points.Count / MostPoints);
            var stretch = points.Skip(from).Take(to - from).ToList();
            thinned.Add((stretch.Average(p => p.X), stretch.Average(p => p.Y)));
        }

        return thinned;
    }
}
