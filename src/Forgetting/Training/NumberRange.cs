using System.Globalization;

namespace Forgetting.Training;

/// <summary>An interval of numbers.</summary>
/// <param name="Low">Its lower end; −∞ for none.</param>
/// <param name="High">Its upper end; +∞ for none.</param>
/// <param name="HasLow">Whether the lower end is in it.</param>
/// <param name="HasHigh">Whether the upper end is in it.</param>
internal sealed record NumberRange(double Low, double High, bool HasLow, bool HasHigh)
{
    /// <summary>An interval as mathematics writes it: <c>[0, 1)</c>, <c>(0, ∞)</c>; all finite numbers for an empty text.</summary>
    public static NumberRange Parse(string text)
    {
        if (text.Length == 0)
            return new NumberRange(double.NegativeInfinity, double.PositiveInfinity, false, false);

        string[] ends = text[1..^1].Split(',', StringSplitOptions.TrimEntries);
        double high = ends[1] == "∞" ? double.PositiveInfinity : double.Parse(ends[1], CultureInfo.InvariantCulture);
        return new NumberRange(double.Parse(ends[0], CultureInfo.InvariantCulture), high, text[0] == '[', text[^1] == ']');
    }

    /// <summary>Whether a number is in it.</summary>
    public bool Holds(double value) => (HasLow ? value >= Low : value > Low) && (HasHigh ? value <= High : value < High);

    /// <summary>What a number should be, in words.</summary>
    /// <param name="whole">Whether it is a whole one.</param>
    public string Describe(bool whole)
    {
        string kind = whole ? "a whole number" : "a number";
        return string.Create(CultureInfo.InvariantCulture, $"{kind}{(
            double.IsInfinity(Low) ? ""
            : !double.IsInfinity(High) ? $" in {(HasLow ? '[' : '(')}{Low}, {High}{(HasHigh ? ']' : ')')}"
            : HasLow ? $" of at least {Low}"
            : $" above {Low}")}");
    }
}
