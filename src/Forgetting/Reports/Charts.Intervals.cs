namespace Forgetting.Reports;

/// <summary>A value with an interval.</summary>
/// <param name="Name">What it is of.</param>
/// <param name="Value">The value.</param>
/// <param name="Low">Lower end.</param>
/// <param name="High">Upper end.</param>
internal readonly record struct Interval(string Name, double Value, double Low, double High);

/// <content>Forest plots.</content>
internal static partial class Charts
{
    /// <summary>Values with their intervals below each other, against a line at 0 (a forest plot).</summary>
    /// <param name="title">What the chart shows; stands above it.</param>
    /// <param name="xLabel">Name of the horizontal axis with its unit.</param>
    /// <param name="intervals">From top to bottom.</param>
    /// <returns>An HTML fragment.</returns>
    public static string Intervals(string title, string xLabel, IReadOnlyList<Interval> intervals)
    {
        const int Names = 50;
        const double Row = 26, Right = 14, Top = 8, Bottom = 40, Wide = 760, Plot = 330;
        if (intervals.Count == 0)
            return $"<p class=\"empty\">{Svg.Text(title)}: no values.</p>";

        (double low, double high) = PlotArea.Margins(intervals.Min(i => i.Low), intervals.Max(i => i.High), zeroBased: true);
        double height = Top + (Row * intervals.Count) + Bottom;
        double X(double value) => Plot + ((value - low) / (high - low) * (Wide - Plot - Right));
        StringWriter output = Begin(title, []);
        output.Write($"<svg viewBox=\"0 0 {Svg.N(Wide)} {Svg.N(height)}\" role=\"img\" aria-label=\"{Svg.Text(title)}\">");
        foreach (double tick in Svg.Ticks(low, high, 6))
        {
            output.Write($"<line class=\"{(tick == 0 ? "axis" : "grid")}\" x1=\"{Svg.N(X(tick))}\" x2=\"{Svg.N(X(tick))}\" "
                + $"y1=\"{Svg.N(Top)}\" y2=\"{Svg.N(height - Bottom)}\"/>");
            output.Write($"<text class=\"tick\" text-anchor=\"middle\" x=\"{Svg.N(X(tick))}\" "
                + $"y=\"{Svg.N(height - Bottom + 16)}\">{Svg.Value(tick)}</text>");
        }

        output.Write($"<text class=\"label\" text-anchor=\"middle\" x=\"{Svg.N((Plot + Wide) / 2)}\" "
            + $"y=\"{Svg.N(height - 6)}\">{Svg.Text(xLabel)}</text>");
        for (int i = 0; i < intervals.Count; i++)
        {
            Interval interval = intervals[i];
            double y = Top + (Row * (i + 0.5));
            string style = Class(interval.Low > 0 ? Learnt : interval.High < 0 ? Forgotten : Neutral);
            output.Write("<text class=\"tick\" x=\"2\" "
                + $"y=\"{Svg.N(y + 4)}\">{Svg.Text(interval.Name.Length <= Names ? interval.Name : interval.Name[..Names] + "…")}</text>");
            output.Write(
                $"<polyline class=\"{style}\" points=\"{Svg.N(X(interval.Low))},{Svg.N(y)} {Svg.N(X(interval.High))},{Svg.N(y)}\"/>");
            output.Write($"<circle class=\"dot {style}\" r=\"4\" cx=\"{Svg.N(X(interval.Value))}\" cy=\"{Svg.N(y)}\">");
            output.Write($"<title>{Svg.Text(interval.Name)}: {Svg.Value(interval.Value)}, "
                + $"{Svg.Value(interval.Low)} to {Svg.Value(interval.High)}</title></circle>");
        }

        output.Write($"</svg>{End}");
        return output.ToString();
    }
}
