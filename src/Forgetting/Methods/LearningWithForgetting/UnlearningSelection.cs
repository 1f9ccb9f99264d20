using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Training;

namespace Forgetting.Methods.LearningWithForgetting;

/// <summary>
/// Which self-generated samples make up D_U (arXiv 2505.19715): those of the highest measured increase or forgetting
/// confidence, or another choice for ablations.
/// </summary>
internal static class UnlearningSelection
{
    /// <summary>Places of the chosen samples, ascending, and the value at the cut.</summary>
    /// <param name="ranking">Per sample, its measured increase or forgetting confidence; null where the choice needs none.</param>
    /// <param name="count">Number of samples.</param>
    /// <param name="options">Fraction or threshold, kind and seed.</param>
    /// <returns>At least one place; the value of the last sample chosen, null where none is known.</returns>
    /// <exception cref="UserException">No sample passes the threshold.</exception>
    public static (IReadOnlyList<int> Places, double? Cut) Choose(IReadOnlyList<double>? ranking, int count, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        int wanted = Wanted(ranking, count, options);

        // Stable: samples of equal rank keep their order.
        IEnumerable<int> order = options.Unlearning.Select switch
        {
            SelectionKind.High => Enumerable.Range(0, count).OrderByDescending(i => ranking![i]),
            SelectionKind.Low => Enumerable.Range(0, count).OrderBy(i => ranking![i]),
            _ => DataOrder.Permutation(count, options.Seed, uint.MaxValue - 2),
        };
        int[] chosen = [.. order.Take(wanted)];
        double? cut = ranking is null || options.Unlearning.Select == SelectionKind.Random ? null : ranking[chosen[^1]];
        Array.Sort(chosen);
        return (chosen, cut);
    }

    /// <summary>Whether the choice depends on a ranking at all.</summary>
    public static bool NeedsRanking(TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Unlearning.Select != SelectionKind.Random || options.Unlearning.Threshold != null;
    }

    private static int Wanted(IReadOnlyList<double>? ranking, int count, TrainingOptions options)
    {
        if (options.Unlearning.Threshold is not { } threshold)
            return Math.Max(1, (int)Math.Round(options.ResolveUnlearningFraction() * count));

        int passing =
            options.Unlearning.Select == SelectionKind.Low ? ranking!.Count(c => c <= threshold) : ranking!.Count(c => c >= threshold);
        return passing > 0 ? passing : throw new UserException(
            $"forget-threshold is {Recipe.Text(threshold)}, which no sample passes: "
            + $"values are {Recipe.Text(ranking!.Min())} to {Recipe.Text(ranking!.Max())}");
    }
}

/// <summary>A sample, its increase or confidence and whether it was chosen: a line of <c>selection.jsonl</c>.</summary>
internal sealed record SelectionRecord
{
    /// <summary>Index of the sample among the elicited ones.</summary>
    public required int Index { get; init; }

    /// <summary>Its task; null for samples that name none.</summary>
    public required string? Task { get; init; }

    /// <summary>Its forgetting confidence; null where none was computed.</summary>
    public required double? Confidence { get; init; }

    /// <summary>Its measured increase, nats; null where none was measured.</summary>
    public double? Increase { get; init; }

    /// <summary>What it was ranked by; null where that played no part.</summary>
    [JsonIgnore]
    public double? Rank => Increase ?? Confidence;

    /// <summary>Whether it is unlearnt.</summary>
    public required bool Selected { get; init; }

    /// <summary>Reads the file of a run.</summary>
    /// <exception cref="UserException">It cannot be read or a line is malformed.</exception>
    public static IReadOnlyList<SelectionRecord> Read(string path) => JsonLines.Read<SelectionRecord>(path);
}
