using Forgetting.Core;

namespace Forgetting.Models;

/// <summary>How tokens are drawn and when a sequence ends.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens to generate for each prompt; the context length may end a sequence earlier.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Divisor of the logits; 0 takes the most probable token.</summary>
    public double Temperature { get; init; }

    /// <summary>Draw among the k most probable tokens; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Draw among the fewest most probable tokens with at least this mass; 1 for all (arXiv 1904.09751).</summary>
    public double TopP { get; init; } = 1;

    /// <summary>
    /// Divides positive and multiplies negative logits of tokens already in the sequence, prompt included; 1 for none (arXiv 1909.05858).
    /// </summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>Ids that end a sequence; null for the model's eos ids.</summary>
    public IReadOnlyList<int>? StopIds { get; init; }

    /// <summary>
    /// Texts that end a text and are not part of it. Where only ids are wanted (<see cref="Generator"/>) nothing looks for them.
    /// </summary>
    public IReadOnlyList<string> StopTexts { get; init; } = [];

    /// <summary>Key of the random numbers.</summary>
    public ulong Seed { get; init; }

    /// <exception cref="UserException">A setting is out of range.</exception>
    internal void Validate()
    {
        Require(MaxNewTokens >= 1, "max new tokens", MaxNewTokens, "at least 1");
        Require(Temperature >= 0 && double.IsFinite(Temperature), "temperature", Temperature, "0 or more");
        Require(TopK >= 0, "top-k", TopK, "0 (all) or more");
        Require(TopP is > 0 and <= 1, "top-p", TopP, "0 < p ≤ 1");
        if (StopTexts.Any(string.IsNullOrEmpty))
            throw new UserException("stop: empty, expected a text");

        Require(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty), "repetition penalty", RepetitionPenalty, "more than 0");
    }

    private static void Require(bool condition, string name, IFormattable value, string expected)
    {
        if (!condition)
        {
            throw new UserException(
                $"{name} {value.ToString(null, System.Globalization.CultureInfo.InvariantCulture)}: expected {expected}");
        }
    }
}
