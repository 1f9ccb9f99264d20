using System.Text.Json.Serialization;

namespace Forgetting.Models;

/// <summary>How a model whose context was made longer turns slower than it did at first.</summary>
[JsonDerivedType(typeof(LinearRopeScaling))]
[JsonDerivedType(typeof(DynamicRopeScaling))]
[JsonDerivedType(typeof(Llama3RopeScaling))]
[JsonDerivedType(typeof(LongRopeScaling))]
[JsonDerivedType(typeof(YarnRopeScaling))]
internal abstract record RopeScaling
{
    /// <summary>Its <c>rope_type</c> in <c>config.json</c>.</summary>
    public abstract string Type { get; }

    /// <summary>Factor on cosines and sines, and so on queries and keys both.</summary>
    public virtual double AttentionFactor => 1;

    /// <summary>The angle from one position to the next of pair <paramref name="i"/> of <paramref name="count"/>.</summary>
    /// <param name="plain">Without scaling: θ^(−i / count).</param>
    /// <param name="theta">θ.</param>
    public abstract double Frequency(double plain, int i, int count, double theta);
}

/// <summary>All positions lie closer together.</summary>
internal sealed record LinearRopeScaling(double Factor) : RopeScaling
{
    /// <inheritdoc/>
    public override string Type => "linear";

    /// <inheritdoc/>
    public override double Frequency(double plain, int i, int count, double theta) => plain / Factor;
}

/// <summary>
/// θ grows with a sequence that is longer than the context; within the context, which is all that a decoder here takes, nothing changes.
/// </summary>
internal sealed record DynamicRopeScaling(double Factor) : RopeScaling
{
    /// <inheritdoc/>
    public override string Type => "dynamic";

    /// <inheritdoc/>
    public override double Frequency(double plain, int i, int count, double theta) => plain;
}

/// <summary>
/// Llama 3's: wavelengths beyond orig/low turn slower by the factor, those below orig/high stay, and those between are blended.
/// </summary>
internal sealed record Llama3RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalContext)
    : RopeScaling
{
    /// <inheritdoc/>
    public override string Type => "llama3";

    /// <inheritdoc/>
    public override double Frequency(double plain, int i, int count, double theta)
    {
        double wavelength = 2 * Math.PI / plain;
        double share = Math.Clamp(
            (OriginalContext / wavelength - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor), 0, 1);
        return (1 - share) * plain / Factor + share * plain;
    }
}

/// <summary>
/// LongRoPE (arXiv 2402.13753): every pair turns slower by a factor of its own. There is a list for texts within the original context and
/// another for longer ones, all of whose keys turn by it.
/// </summary>
/// <param name="ShortFactors">[R/2] within the original context.</param>
/// <param name="LongFactors">[R/2] beyond it.</param>
/// <param name="OriginalContext">The original context.</param>
/// <param name="FullContext">Most positions with the other list.</param>
/// <param name="Attention">Factor on cosines and sines; √(1 + ln(full / original) / ln(original)) where the file does not say.</param>
internal sealed record LongRopeScaling(
    IReadOnlyList<double> ShortFactors, IReadOnlyList<double> LongFactors, int OriginalContext, int FullContext, double Attention)
    : RopeScaling
{
    /// <inheritdoc/>
    public override string Type => "longrope";

    /// <inheritdoc/>
    public override double AttentionFactor => Attention;

    /// <inheritdoc/>
    public override double Frequency(double plain, int i, int count, double theta) => plain / ShortFactors[i];

    /// <summary>As <see cref="Frequency"/>, of texts longer than the original context.</summary>
    public double LongFrequency(double plain, int i) => plain / LongFactors[i];

    /// <summary>The factor where the file does not say.</summary>
    /// <param name="grown">The full context divided by the original one.</param>
    public static double DefaultAttention(int originalContext, double grown) =>
        grown <= 1 ? 1 : Math.Sqrt(1 + (Math.Log(grown) / Math.Log(originalContext)));

    /// <inheritdoc/>
    public bool Equals(LongRopeScaling? other) => other is not null && ShortFactors.SequenceEqual(other.ShortFactors)
        && LongFactors.SequenceEqual(other.LongFactors)
        && (OriginalContext, FullContext, Attention) == (other.OriginalContext, other.FullContext, other.Attention);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(ShortFactors.Count, OriginalContext, FullContext, Attention);
}

/// <summary>
/// YaRN (arXiv 2309.00071, section 3): pairs that turn more than β_fast times over the original context stay, those that turn less than
/// β_slow times turn slower by the factor, and those between are blended by their number.
/// </summary>
/// <param name="Attention">Factor on cosines and sines; the paper's 0.1·ln(factor) + 1 where the file does not say.</param>
/// <param name="Truncate">Whether the blend begins and ends at whole pairs.</param>
internal sealed record YarnRopeScaling(
    double Factor, double BetaFast, double BetaSlow, int OriginalContext, double Attention, bool Truncate) : RopeScaling
{
    /// <inheritdoc/>
    public override string Type => "yarn";

    /// <summary>With the paper's settings.</summary>
    public static YarnRopeScaling From(double factor, int originalContext) =>
        new(factor, 32, 1, originalContext, Magnitude(factor, 1), true);

    /// <summary>Factor on cosines and sines, of which the paper takes a share of 1.</summary>
    public static double Magnitude(double factor, double share) => factor <= 1 ? 1 : (0.1 * share * Math.Log(factor)) + 1;

    /// <inheritdoc/>
    public override double AttentionFactor => Attention;

    /// <inheritdoc/>
    public override double Frequency(double plain, int i, int count, double theta)
    {
        double low = PairThatTurns(BetaFast), high = PairThatTurns(BetaSlow);
        if (Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));

        (low, high) = (Math.Max(low, 0), Math.Min(high, (2 * count) - 1));
        double slower = Math.Clamp((i - low) / (high == low ? 0.001 : high - low), 0, 1);
        return (slower * plain / Factor) + ((1 - slower) * plain);

        double PairThatTurns(double times) => count * Math.Log(OriginalContext / (times * 2 * Math.PI)) / Math.Log(theta);
    }
}
