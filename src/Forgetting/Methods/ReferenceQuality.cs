using System.Globalization;
using System.Text.Json.Serialization;
using Forgetting.Data;

namespace Forgetting.Methods;

/// <summary>
/// Whether a reference's examples agree with each other (this project's): how much a reference from one half of them lowers the loss of the
/// other half's tokens that the base finds unlikely. Errors do not help to foresee other errors.
/// </summary>
/// <param name="Tokens">Response tokens whose loss under the base model is above <see cref="HardLoss"/>.</param>
/// <param name="BaseLoss">Their summed cross-entropy under the base model, nats.</param>
/// <param name="ReferenceLoss">The same under the reference from the other half.</param>
public sealed record ReferenceQuality(long Tokens, double BaseLoss, double ReferenceLoss)
{
    /// <summary>Base loss, in nats, above which a token is looked at.</summary>
    public const double HardLoss = 3;

    /// <summary>Gain below which the reference's examples are not to be trusted.</summary>
    public const double LeastGain = 0.25;

    /// <summary>Fewer tokens than this say nothing for certain.</summary>
    public const int LeastTokens = 10;

    /// <summary>Share of the base's loss that is gone under the reference; null without tokens.</summary>
    public double? Gain => Tokens == 0 ? null : 1 - (ReferenceLoss / BaseLoss);

    /// <summary>What is wrong, in a sentence; null where nothing is.</summary>
    [JsonIgnore]
    public string? Warning => Tokens < LeastTokens || Gain >= LeastGain
        ? null
        : "the reference's examples hardly agree with each other: they are too few or too noisy to say what is wrong in others; "
            + "score reference still finds independent errors, influence may mislead";

    /// <summary>This with the tokens of further examples.</summary>
    /// <param name="baseLoss">Per example, per token.</param>
    /// <param name="referenceLoss">Per example, per token, under a reference that has not seen them.</param>
    internal ReferenceQuality With(
        IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss)
    {
        (long tokens, double before, double after) = (Tokens, BaseLoss, ReferenceLoss);
        for (int i = 0; i < examples.Count; i++)
        {
            bool[] response = examples[i].Response;
            for (int t = 0; t < response.Length; t++)
            {
                if (!response[t] || baseLoss[i][t] <= HardLoss)
                    continue;

                tokens++;
                before += baseLoss[i][t];
                after += referenceLoss[i][t];
            }
        }

        return new(tokens, before, after);
    }

    /// <inheritdoc/>
    public override string ToString() => Tokens == 0
        ? $"the base finds no token of the reference's examples unlikely (loss above {HardLoss} nats)"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"quality of the reference's examples: a reference from one half lowers the loss of {Tokens:N0} unlikely tokens of the other "
                + $"by {Gain:0 %}{(Tokens < LeastTokens ? ", too few to say much" : Warning is { } warning ? $": {warning}" : "")}");
}
