using System.Globalization;
using System.Net;

namespace Forgetting.Reports;

/// <summary>Numbers, text and axes as the charts write them: invariant, short, escaped.</summary>
internal static class Svg
{
    /// <summary>A coordinate with one decimal.</summary>
    public static string N(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>A value for people: four significant digits, or as many as are asked for.</summary>
    public static string Value(double value, int digits = 4) => value switch
    {
        0 => "0",
        _ when double.IsNaN(value) => "–",
        _ when Math.Abs(value) is >= 1e3 and < 1e6 => value.ToString("#,0", CultureInfo.InvariantCulture),
        _ when Math.Abs(value) is >= 1e6 or < 1e-3 => value.ToString("0.###e0", CultureInfo.InvariantCulture),
        _ => Rounded(value, digits).ToString("G4", CultureInfo.InvariantCulture),
    };

    private static double Rounded(double value, int digits) =>
        double.Parse(value.ToString($"G{digits}", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    /// <summary>Text safe inside HTML and attributes.</summary>
    public static string Text(string text) => WebUtility.HtmlEncode(text);

    /// <summary>About <paramref name="wanted"/> round numbers covering [low, high].</summary>
    /// <param name="whole">Whether there is nothing between whole numbers.</param>
    public static IReadOnlyList<double> Ticks(double low, double high, int wanted = 5, bool whole = false)
    {
        if (!(high > low))
            return [low];

        double rough = (high - low) / wanted;
        double power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = (rough / power) switch { < 1.5 => 1, < 3 => 2, < 7 => 5, _ => 10 } * power;
        step = whole ? Math.Max(1, step) : step;
        var ticks = new List<double>();
        for (double i = Math.Ceiling(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
        {
            ticks.Add(i * step);
        }

        return ticks;
    }
}

/// <summary>Maps data to the plot area of a chart and draws its frame.</summary>
internal sealed class PlotArea
{
    private const double Left = 70, Right = 14, Top = 12, Bottom = 44;

    // A range below this share of the values is rounding, not a course.
    private const double Flat = 1e-6;

    private readonly double _width;
    private readonly double _height;

    public PlotArea(double width, double height, double xLow, double xHigh, double yLow, double yHigh)
    {
        (_width, _height) = (width, height);
        (XLow, XHigh) = xHigh > xLow ? (xLow, xHigh) : (xLow - 0.5, xLow + 0.5);
        (YLow, YHigh) = (yLow, yHigh);
    }

    public double XLow { get; }

    public double XHigh { get; }

    public double YLow { get; }

    public double YHigh { get; }

    /// <summary>Whether the horizontal axis has whole numbers alone, such as steps.</summary>
    public bool WholeX { get; init; }

    /// <summary>Whether the vertical axis has whole numbers alone.</summary>
    public bool WholeY { get; init; }

    /// <summary>
    /// A vertical axis for values from <paramref name="low"/> to <paramref name="high"/>: a little more on either side, but not beyond 0
    /// where no value is. What is constant stands on an axis from 0.
    /// </summary>
    public static (double Low, double High) Margins(double low, double high, bool zeroBased)
    {
        (low, high) = zeroBased ? (Math.Min(0, low), Math.Max(0, high)) : (low, high);
        if (high - low <= Flat * Math.Max(Math.Abs(low), Math.Abs(high)))
            return low > 0 ? (0, 1.25 * high) : low < 0 ? (1.25 * low, 0) : (0, 1);

        double margin = (high - low) * 0.05;
        return (low >= 0 ? Math.Max(0, low - margin) : low - margin, high <= 0 ? Math.Min(0, high + margin) : high + margin);
    }

    public double X(double value) => Left + (value - XLow) / (XHigh - XLow) * (_width - Left - Right);

    public double Y(double value) => _height - Bottom - (value - YLow) / (YHigh - YLow) * (_height - Top - Bottom);

    /// <summary>Opens a drawing that holds nothing else.</summary>
    public void Open(TextWriter output, string label) =>
        output.Write($"<svg viewBox=\"0 0 {Svg.N(_width)} {Svg.N(_height)}\" role=\"img\" aria-label=\"{Svg.Text(label)}\">");

    /// <summary>Draws grid, ticks and axis labels.</summary>
    public void WriteFrame(TextWriter output, string xLabel, string yLabel)
    {
        foreach (double tick in Svg.Ticks(YLow, YHigh, 5, WholeY))
        {
            output.Write($"<line class=\"grid\" x1=\"{Svg.N(Left)}\" x2=\"{Svg.N(_width - Right)}\" y1=\"{Svg.N(Y(tick))}\" "
                + $"y2=\"{Svg.N(Y(tick))}\"/>");
            output.Write(
                $"<text class=\"tick\" text-anchor=\"end\" x=\"{Svg.N(Left - 7)}\" y=\"{Svg.N(Y(tick) + 4)}\">{Svg.Value(tick)}</text>");
        }

        foreach (double tick in Svg.Ticks(XLow, XHigh, 6, WholeX))
        {
            output.Write($"<text class=\"tick\" text-anchor=\"middle\" x=\"{Svg.N(X(tick))}\" "
                + $"y=\"{Svg.N(_height - Bottom + 17)}\">{Svg.Value(tick)}</text>");
        }

        output.Write($"<line class=\"axis\" x1=\"{Svg.N(Left)}\" x2=\"{Svg.N(_width - Right)}\" y1=\"{Svg.N(_height - Bottom)}\" "
            + $"y2=\"{Svg.N(_height - Bottom)}\"/>");
        output.Write($"<text class=\"label\" text-anchor=\"middle\" x=\"{Svg.N((Left + _width - Right) / 2)}\" "
            + $"y=\"{Svg.N(_height - 6)}\">{Svg.Text(xLabel)}</text>");
        output.Write($"<text class=\"label\" text-anchor=\"middle\" transform=\"translate(13 {Svg.N((Top + _height - Bottom) / 2)}) "
            + $"rotate(-90)\">{Svg.Text(yLabel)}</text>");
    }
}
