using System.Globalization;
using System.Text;

namespace Forgetting.Reports;

/// <summary>A named curve; points whose y is NaN are left out.</summary>
/// <param name="Name">Name in the legend.</param>
/// <param name="Points">Points in the order of x.</param>
/// <param name="Band">Lowest and highest value at each x, drawn as a band behind the curve; null for none.</param>
/// <param name="Style">Number of its colour, so that a thing has the same one in every chart of a page; null for
/// its place among the curves.</param>
internal sealed record Series(
    string Name, IReadOnlyList<(double X, double Y)> Points, IReadOnlyList<(double X, double Low, double High)>? Band = null,
    int? Style = null);

/// <summary>Charts as inline SVG: no script is needed to read them, and hovering shows the numbers.</summary>
internal static partial class Charts
{
    /// <summary>Colour of what is learnt.</summary>
    public const int Learnt = 0;

    /// <summary>Colour of what is unlearnt or negative.</summary>
    public const int Forgotten = 1;

    /// <summary>Colour of what was held out.</summary>
    public const int HeldOut = 2;

    /// <summary>Colour of what is neither.</summary>
    public const int Neutral = 7;

    private const double Width = 540, Height = 290;

    private const int Colours = 8, Dashes = 3;

    // More points than pixels only make the file large.
    private const int MaxPoints = 320;

    /// <summary>Curves over a common axis.</summary>
    /// <param name="title">What the chart shows; stands above it.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">Name of the vertical axis with its unit.</param>
    /// <param name="series">The curves.</param>
    /// <param name="zeroBased">Whether the vertical axis must contain 0.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Lines(string title, string xLabel, string yLabel, IReadOnlyList<Series> series, bool zeroBased = false)
    {
        List<Series> drawn = Drawn(series);
        if (drawn.Count == 0)
            return $"<p class=\"empty\">{Svg.Text(title)}: no values.</p>";

        PlotArea area = Area(drawn, zeroBased);
        // One curve alone is what the title says.
        StringWriter output = Begin(title, series.Count == 1 ? [] : [.. drawn.Select(s => (s.Name, s.Style!.Value))]);
        area.Open(output, title);
        area.WriteFrame(output, xLabel, yLabel);
        WriteLines(output, area, drawn);
        output.Write($"</svg>{End}");
        return output.ToString();
    }

    /// <summary>
    /// The curves of <see cref="Lines"/> as a file of their own, with title and legend in the drawing and every point marked.
    /// </summary>
    /// <param name="title">Stands above the drawing.</param>
    /// <param name="series">At least one curve with a value.</param>
    /// <returns>An SVG document.</returns>
    public static string LinesFile(string title, string xLabel, string yLabel, IReadOnlyList<Series> series, bool zeroBased = false)
    {
        const double Head = 48;
        List<Series> drawn = Drawn(series);
        PlotArea area = Area(drawn, zeroBased);
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Svg.N(Width)} {Svg.N(Height + Head)}\" role=\"img\" "
            + $"aria-label=\"{Svg.Text(title)}\">");
        output.Write($"<style>{HtmlReport.Style}svg {{ font-family: system-ui, sans-serif; }} svg .hit {{ opacity: 1; r: 3px; "
            + "}</style><rect width=\"100%\" height=\"100%\" fill=\"var(--panel)\"/>");
        output.Write($"<text x=\"14\" y=\"20\">{Svg.Text(title)}</text><text x=\"14\" y=\"40\">");
        for (int i = 0; i < drawn.Count; i++)
        {
            output.Write($"<tspan class=\"{Class(drawn[i].Style!.Value)}\" style=\"fill: "
                + $"currentColor\" dx=\"{(i == 0 ? 0 : 16)}\">● {Svg.Text(drawn[i].Name)}</tspan>");
        }

        output.Write($"</text><g transform=\"translate(0 {Svg.N(Head)})\">");
        area.WriteFrame(output, xLabel, yLabel);
        WriteLines(output, area, drawn);
        output.Write("</g></svg>\n");
        return output.ToString();
    }

    // Those with values; each keeps the colour of its place in the list, whichever others are drawn.
    private static List<Series> Drawn(IReadOnlyList<Series> series) =>
        [.. series
            .Select((s, i) => s with
            {
                Points = [.. s.Points.Where(p => double.IsFinite(p.Y))],
                Band = s.Band is null ? null : [.. s.Band.Where(b => double.IsFinite(b.Low) && double.IsFinite(b.High))],
                Style = s.Style ?? i,
            })
            .Where(s => s.Points.Count > 0)];

    private static PlotArea Area(List<Series> drawn, bool zeroBased)
    {
        double[] xs = [.. drawn.SelectMany(s => s.Points).Select(p => p.X)];
        double[] ys = [.. drawn.SelectMany(s => s.Points.Select(p => p.Y).Concat((s.Band ?? []).SelectMany(b => new[] { b.Low, b.High })))];
        (double low, double high) = PlotArea.Margins(ys.Min(), ys.Max(), zeroBased);
        return new PlotArea(Width, Height, xs.Min(), xs.Max(), low, high) { WholeX = xs.All(double.IsInteger) };
    }

    private static void WriteLines(StringWriter output, PlotArea area, List<Series> drawn)
    {
        foreach (Series series in drawn.Where(s => s.Band?.Count > 1))
        {
            var lows = Thin([.. series.Band!.Select(b => (b.X, b.Low))]).Select(p => Point(area, p));
            var highs = Thin([.. series.Band!.Select(b => (b.X, b.High))]).Select(p => Point(area, p)).Reverse();
            output.Write($"<polygon class=\"band {Class(series.Style!.Value)}\" points=\"{string.Join(' ', lows.Concat(highs))}\"/>");
        }

        foreach (Series series in drawn)
        {
            string style = Class(series.Style!.Value);
            IReadOnlyList<(double X, double Y)> thinned = Thin(series.Points);
            if (thinned.Count == 1)
            {
                output.Write(
                    $"<circle class=\"dot {style}\" r=\"3.5\" cx=\"{Svg.N(area.X(thinned[0].X))}\" cy=\"{Svg.N(area.Y(thinned[0].Y))}\"/>");
            }
            else
            {
                output.Write($"<polyline class=\"{style}\" points=\"{string.Join(' ', thinned.Select(p => Point(area, p)))}\"/>");
            }

            foreach ((double x, double y) in thinned)
            {
                output.Write($"<circle class=\"hit {style}\" r=\"5\" cx=\"{Svg.N(area.X(x))}\" cy=\"{Svg.N(area.Y(y))}\">");
                output.Write($"<title>{Svg.Text(series.Name)}: {Svg.Value(y)} at {Svg.Value(x)}</title></circle>");
            }
        }
    }

    private static string Point(PlotArea area, (double X, double Y) point) => $"{Svg.N(area.X(point.X))},{Svg.N(area.Y(point.Y))}";

    /// <summary>Dots, such as events over time; hovering shows what each is.</summary>
    /// <param name="title">What the chart shows; stands above it.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="yLabel">Name of the vertical axis with its unit.</param>
    /// <param name="groups">Name and dots of each group.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Dots(
        string title, string xLabel, string yLabel,
        IReadOnlyList<(string Name, IReadOnlyList<(double X, double Y, string Title)> Dots)> groups)
    {
        var dots = groups.SelectMany(g => g.Dots).ToList();
        if (dots.Count == 0)
            return $"<p class=\"empty\">{Svg.Text(title)}: none.</p>";

        (double low, double high) = PlotArea.Margins(dots.Min(d => d.Y), dots.Max(d => d.Y), zeroBased: false);
        var area = new PlotArea(Width, Height, dots.Min(d => d.X), dots.Max(d => d.X), low, high)
        {
            WholeX = dots.TrueForAll(d => double.IsInteger(d.X)), WholeY = dots.TrueForAll(d => double.IsInteger(d.Y)),
        };
        StringWriter output = Begin(title, [.. groups.Select((g, i) => (g.Name, i))]);
        area.Open(output, title);
        area.WriteFrame(output, xLabel, yLabel);
        for (int g = 0; g < groups.Count; g++)
        {
            foreach ((double x, double y, string text) in groups[g].Dots)
            {
                output.Write($"<circle class=\"dot {Class(g)}\" r=\"2.5\" cx=\"{Svg.N(area.X(x))}\" "
                    + $"cy=\"{Svg.N(area.Y(y))}\"><title>{Svg.Text(text)}</title></circle>");
            }
        }

        output.Write($"</svg>{End}");
        return output.ToString();
    }

    // A figure's end: a fold that, open, makes the figure as large as the window, without a script.
    private const string End = "<details class=\"zoom\"><summary title=\"as large as the window\">larger</summary></details></figure>";

    // A figure with its title and its legend.
    private static StringWriter Begin(string title, IReadOnlyList<(string Name, int Style)> legend)
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        output.Write($"<figure><h3>{Svg.Text(title)}</h3><figcaption>");
        foreach ((string name, int style) in legend)
        {
            output.Write($"<span class=\"entry\"><span class=\"key {Class(style)}\"></span>{Svg.Text(name)}</span> ");
        }

        output.Write("</figcaption>");
        return output;
    }

    // Eight colours; from the ninth thing on dashed and then dotted.
    private static string Class(int style)
    {
        string colour = string.Create(CultureInfo.InvariantCulture, $"s{style % Colours}");
        return (style / Colours % Dashes) switch { 0 => colour, 1 => $"{colour} dashed", _ => $"{colour} dotted" };
    }

    // Means over equal stretches, so that a long run's curve keeps its level and loses only its noise.
    private static IReadOnlyList<(double X, double Y)> Thin(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count <= MaxPoints)
            return points;

        var thinned = new List<(double, double)>(MaxPoints);
        for (int i = 0; i < MaxPoints; i++)
        {
            int from = (int)((long)i * points.Count / MaxPoints), to = (int)((long)(i + 1) * points.Count / MaxPoints);
            var stretch = points.Skip(from).Take(to - from).ToList();
            thinned.Add((stretch.Average(p => p.X), stretch.Average(p => p.Y)));
        }

        return thinned;
    }
}
