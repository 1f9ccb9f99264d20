using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Training;

namespace Forgetting.Methods.TokenForgetting;

/// <summary>
/// The reference model, whose losses tell which tokens are informative: the base model after ordinary fine-tuning on a set of its own, with
/// the same recipe (arXiv 2508.04329, section 3). The stages that train and use it are <see cref="TokenForgettingMethod"/>.
/// </summary>
internal static class ReferenceModel
{
    /// <summary>
    /// Share of the data that is held out for the reference unless said otherwise: 10k of 60k in the paper's experiments.
    /// </summary>
    public const double DefaultFraction = TokenForgettingSettings.DefaultReferenceFraction;

    /// <summary>
    /// Takes examples for the reference out of a data set, at random by <paramref name="seed"/>; both parts keep the order of the data.
    /// </summary>
    /// <param name="fraction">Share to hold out, in (0, 1).</param>
    /// <exception cref="UserException">One of the two parts would be empty.</exception>
    public static (IReadOnlyList<EncodedExample> Reference, IReadOnlyList<EncodedExample> Training) Split(
        IReadOnlyList<EncodedExample> examples, double fraction, ulong seed)
    {
        // Stream 2³² − 1 is no epoch's.
        (IReadOnlyList<EncodedExample> held, IReadOnlyList<EncodedExample> rest) =
            ExampleSplit.Take(examples, fraction, seed, uint.MaxValue);
        return held.Count > 0 && rest.Count > 0 ? (held, rest) : throw new UserException(
            $"reference-fraction {fraction:0.###} of {examples.Count} examples leaves no examples for "
            + $"{(held.Count == 0 ? "the reference" : "training")}");
    }
}
