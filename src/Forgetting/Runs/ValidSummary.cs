using System.Globalization;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>What became of the loss of a run's held-out examples.</summary>
public sealed record ValidSummary
{
    /// <summary>Where the examples are from: a file, or a share of the training data.</summary>
    public required string Source { get; init; }

    /// <summary>Held-out examples.</summary>
    public required int Examples { get; init; }

    /// <summary>Their response tokens.</summary>
    public required long Tokens { get; init; }

    /// <summary>From before the training to after its last step.</summary>
    public required HeldOutChange Change { get; init; }

    /// <summary>Steps after which the loss was lowest; 0 for the model before the training.</summary>
    public required int LowestStep { get; init; }

    /// <summary>From that model to the one after the last step; null where they are the same.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public HeldOutChange? SinceLowest { get; init; }

    /// <summary>What the training did to examples it had not seen, in a sentence or two without a full stop at the end.</summary>
    [JsonIgnore]
    public string Verdict
    {
        get
        {
            string whole = Change.Rose || Change.Fell
                ? string.Create(
                    CultureInfo.InvariantCulture,
                    $"the held-out loss {(Change.Rose ? "rose" : "fell")} from {Change.From:0.0000} to {Change.To:0.0000} ({Change.Test})")
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"the held-out loss was {Change.From:0.0000} before and is {Change.To:0.0000} after, "
                        + $"no more than chance ({Change.Test})");
            string harm = Change.Rose ? ": the training harmed the model" : "";
            return SinceLowest is { Rose: true } since && LowestStep > 0
                ? whole + string.Create(
                    CultureInfo.InvariantCulture,
                    $"{harm}; it was lowest, {since.From:0.0000}, after step {LowestStep}: "
                        + $"what was trained since then did harm ({since.Test})")
                : whole + harm;
        }
    }

    /// <summary>Reads the measurements of a run that ended.</summary>
    /// <param name="options">Its settings.</param>
    /// <param name="metrics">Its steps.</param>
    /// <exception cref="UserException">A file of measurements is missing or malformed.</exception>
    internal static ValidSummary From(TrainingOptions options, IReadOnlyList<StepMetrics> metrics)
    {
        IReadOnlyList<HeldOutExample> before = HeldOutExample.Read(options.Out, 0),
            after = HeldOutExample.Read(options.Out, metrics[^1].Step);
        (int lowest, _) = Curve(HeldOutExample.Mean(before), metrics).MinBy(point => point.Loss);
        return new ValidSummary
        {
            Source = options.Evaluation.ValidData
                ?? string.Create(CultureInfo.InvariantCulture, $"{options.Evaluation.ValidFraction} of {options.Data.Path}"),
            Examples = before.Count,
            Tokens = before.Sum(e => (long)e.Tokens),
            Change = HeldOutChange.Between(before, after)!,
            LowestStep = lowest,
            SinceLowest = lowest == metrics[^1].Step ? null : HeldOutChange.Between(HeldOutExample.Read(options.Out, lowest), after),
        };
    }

    /// <summary>The loss against the step, from before the training on.</summary>
    /// <param name="before">The loss before the training.</param>
    /// <param name="metrics">The run's steps.</param>
    public static IReadOnlyList<(int Step, double Loss)> Curve(double before, IReadOnlyList<StepMetrics> metrics) =>
    [
        (0, before),
        .. metrics.Where(m => m.HeldOutLoss != null).Select(m => (m.Step, m.HeldOutLoss!.Value)),
    ];
}
