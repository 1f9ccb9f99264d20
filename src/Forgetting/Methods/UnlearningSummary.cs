using System.Globalization;
using System.Text.Json.Serialization;

namespace Forgetting.Methods;

/// <summary>What a run unlearns besides its own negative tokens.</summary>
public sealed record UnlearningSummary
{
    /// <summary>File of the samples.</summary>
    public required string Samples { get; init; }

    /// <summary>Whether the samples were given; else the model wrote them in this run.</summary>
    public bool Given { get; init; }

    /// <summary>Samples in the file.</summary>
    public required int Elicited { get; init; }

    /// <summary>
    /// Mean cross-entropy of the unlearnt samples' response tokens under the model before training, nats;
    /// null in summaries of earlier versions.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? LossBefore { get; init; }

    /// <summary>The same after training.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? LossAfter { get; init; }

    /// <summary>What was measured of whether the samples were forgotten, as a clause; null where nothing was.</summary>
    [JsonIgnore]
    public string? Verdict => LossBefore is { } before && LossAfter is { } after
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"their loss {(after > before ? "rose" : "fell")} from {before:0.0000} to "
                + $"{after:0.0000}{(after > before ? "" : ": they were not forgotten")}")
        : null;

    /// <summary>What the samples are called.</summary>
    [JsonIgnore]
    public string Kind => Given ? "given samples" : "self-generated samples of other tasks";

    /// <summary>Those that are unlearnt.</summary>
    public required int Selected { get; init; }

    /// <summary>Confidence of the last one chosen; null where the choice was random.</summary>
    public required double? Cut { get; init; }

    /// <summary>The part of the confidence that all samples share, ½ Σ F Δ²; null where none was computed.</summary>
    public required double? Constant { get; init; }

    /// <summary>Time and memory of the stages.</summary>
    public required IReadOnlyList<StageRecord> Stages { get; init; }
}
