using System.Globalization;

namespace Forgetting.Methods;

/// <summary>
/// What the tokens that are to be forgotten are to the base and the reference model, before anything is trained (this
/// project's): whether they are known, so that forgetting them does harm; never believed, so that there is nothing to forget;
/// believed, so that forgetting can pay; or none of these, as most words of any text are, of which nothing says that they are wrong.
/// </summary>
/// <param name="Negatives">Tokens to be forgotten (with the method ignore: to be ignored).</param>
/// <param name="BaseProbability">Their mean probability under the base model.</param>
/// <param name="ReferenceProbability">Their mean probability under the reference model.</param>
/// <param name="Known">Share of them that the reference model knows: its loss is below <see cref="KnownLoss"/>.</param>
/// <param name="Implausible">Share of them that the base model never believed: its probability is below
/// <see cref="ImplausibleProbability"/>.</param>
/// <param name="Believed">Share of them that the base model would say itself, its probability is at least
/// <see cref="BelievedProbability"/>, and that the reference model does not know.</param>
public sealed record Diagnosis(
    long Negatives, double BaseProbability, double ReferenceProbability, double Known, double Implausible, double Believed)
{
    /// <summary>Reference loss, in nats, below which a token counts as known.</summary>
    public const double KnownLoss = 0.1;

    /// <summary>Base probability below which a token counts as never believed.</summary>
    public const double ImplausibleProbability = 0.01;

    /// <summary>Base probability from which a token counts as believed: none other is as likely.</summary>
    public const double BelievedProbability = 0.5;

    /// <summary>Looks at the tokens to be forgotten; null where there are none.</summary>
    /// <param name="signs">Per example, per token.</param>
    /// <param name="baseLoss">Per example, per token: cross-entropy under the base model, nats.</param>
    /// <param name="referenceLoss">The same under the reference model.</param>
    internal static Diagnosis? From(IReadOnlyList<sbyte[]> signs, IReadOnlyList<float[]> baseLoss, IReadOnlyList<float[]> referenceLoss)
    {
        long negatives = 0, known = 0, implausible = 0, believed = 0;
        double baseSum = 0, referenceSum = 0;
        for (int i = 0; i < signs.Count; i++)
        {
            for (int t = 0; t < signs[i].Length; t++)
            {
                if (signs[i][t] >= 0)
                    continue;

                double p = Math.Exp(-baseLoss[i][t]);
                bool isKnown = referenceLoss[i][t] < KnownLoss, isImplausible = p < ImplausibleProbability;
                negatives++;
                baseSum += p;
                referenceSum += Math.Exp(-referenceLoss[i][t]);
                known += isKnown ? 1 : 0;
                implausible += isImplausible ? 1 : 0;
                believed += !isKnown && p >= BelievedProbability ? 1 : 0;
            }
        }

        double n = negatives;
        return negatives == 0 ? null : new(negatives, baseSum / n, referenceSum / n, known / n, implausible / n, believed / n);
    }

    /// <summary>What follows, in a sentence.</summary>
    public string Advice =>
        Known >= 0.5 ? "most are known to the reference: forgetting them unlearns what is right; score blend or reference, "
            + "or a larger rho, leaves them out"
        : Implausible >= 0.5 ? "most were never plausible to the base: there is little to forget. Where they are errors ignoring them "
            + "suffices; what is merely new to the base looks the same, so compare with method full"
        : Believed >= 0.3 ? "many are believed by the base and not by the reference: forgetting can pay, most with ascent belief"
        : "most are neither: words that the base finds more or less likely, as in any text, and nothing says that they are wrong; "
            + "compare with methods full and ignore on held-out examples before relying on forgetting";

    /// <inheritdoc/>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Negatives:N0} negative tokens: mean probability {BaseProbability:0.000} under the base and {ReferenceProbability:0.000} under "
            + $"the reference model; {Known:0 %} known, {Implausible:0 %} never believed, {Believed:0 %} believed: {Advice}");
}
