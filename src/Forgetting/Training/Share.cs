using System.Globalization;

namespace Forgetting.Training;

/// <summary>A share in (0, 1], or <see cref="Auto"/>: one that is found from the data.</summary>
/// <param name="Value">The share; NaN for <see cref="Auto"/>.</param>
public readonly record struct Share(double Value)
{
    /// <summary>The share is found from the data.</summary>
    public static Share Auto => new(double.NaN);

    /// <summary>Whether this is <see cref="Auto"/>.</summary>
    public bool IsAuto => double.IsNaN(Value);

    /// <summary>A given share.</summary>
    public static implicit operator Share(double value) => new(value);

    /// <summary>A given share.</summary>
    public static Share FromDouble(double value) => new(value);

    /// <summary>The share of a text: a number or <c>auto</c>; null for any other text.</summary>
    public static Share? Parse(string text) =>
        text == "auto" ? Auto
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && !double.IsNaN(value)
        ? new Share(value)
        : null;

    /// <inheritdoc/>
    public override string ToString() => IsAuto ? "auto" : Recipe.Text(Value);
}
