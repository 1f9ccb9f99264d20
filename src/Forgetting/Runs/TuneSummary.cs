using System.Text.Json;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;
using Forgetting.Methods;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// What a report of a tuning run needs besides <c>metrics.jsonl</c>, <c>scores.jsonl</c> and <c>run.yaml</c>: the file <c>summary.json</c>.
/// </summary>
public sealed record TuneSummary
{
    /// <summary>Name of the file in the run's folder.</summary>
    public const string FileName = RunFolder.SummaryName;

    /// <summary>Name of the method.</summary>
    public required string Method { get; init; }

    /// <summary>The pretrained checkpoint.</summary>
    public required string Model { get; init; }

    /// <summary>The training data; in explicit unlearning what must go.</summary>
    public required string Data { get; init; }

    /// <summary>Examples trained on.</summary>
    public required int Examples { get; init; }

    /// <summary>Examples held out for the reference.</summary>
    public required int HeldOut { get; init; }

    /// <summary>Where influence came from: a checkpoint, a score file or a reference trained here; null where nothing was scored.</summary>
    public required string? Reference { get; init; }

    /// <summary>Positive response tokens.</summary>
    public required long PositiveTokens { get; init; }

    /// <summary>Negative response tokens.</summary>
    public required long NegativeTokens { get; init; }

    /// <summary>Response tokens that are neither learnt nor forgotten.</summary>
    public long IgnoredTokens { get; init; }

    /// <summary>What the tokens were ranked by: influence, reference or blend; null without scores.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Score { get; init; }

    /// <summary>What the negative tokens are to the base and the reference model; null without any.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Diagnosis? Diagnosis { get; init; }

    /// <summary>Whether the reference has learnt the task; null where that was not, or could not be, looked at.</summary>
    [JsonInclude]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    internal ReferenceCheck? ReferenceCheck { get; init; }

    /// <summary>Whether the reference's examples agree with each other; null where it was not measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ReferenceQuality? ReferenceQuality { get; init; }

    /// <summary>
    /// Mean of λ over the run, each step weighted by its learning rate: λ rises while the learning rate
    /// falls. Null where nothing is forgotten.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? EffectiveLambda { get; init; }

    /// <summary>Score of the last positive token (or example) in the ranking; null without scores.</summary>
    public required double? Cut { get; init; }

    /// <summary>Parameters of the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Parameters that were trained.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>Optimiser steps.</summary>
    public required int Steps { get; init; }

    /// <summary>Seconds spent on the reference and the scores in this process.</summary>
    public required double ScoringSeconds { get; init; }

    /// <summary>Seconds spent on training, interruptions left out.</summary>
    public required double TrainingSeconds { get; init; }

    /// <summary>What computed the products, and with what of the machine; null on a card.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Products { get; init; }

    /// <summary>Most memory the activations of one pass took.</summary>
    public required long ActivationBytes { get; init; }

    /// <summary>Most memory of the device, in this process; 0 in summaries of earlier versions.</summary>
    public long DeviceMemoryBytes { get; init; }

    /// <summary>What <see cref="MemoryPlan"/> said the device's memory would be at most.</summary>
    public long PredictedMemoryBytes { get; init; }

    /// <summary>
    /// What <see cref="MemoryPlan"/> said the process's resident memory would be at most on the CPU, the program itself included;
    /// 0 in summaries of earlier versions.
    /// </summary>
    public long PredictedResidentBytes { get; init; }

    /// <summary>Most memory the process has had resident.</summary>
    public required long PeakMemoryBytes { get; init; }

    /// <summary>What was unlearnt besides; null where the run has no such set.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public UnlearningSummary? Unlearning { get; init; }

    /// <summary>The best evaluation, whose model is in <c>model-best</c>; null where nothing was evaluated.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public BestStep? Best { get; init; }

    /// <summary>What became of the loss of held-out examples; null without any.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ValidSummary? Valid { get; init; }

    /// <summary>Whether the run ended before its last step, since its evaluations got no better.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool StoppedEarly { get; init; }

    /// <summary>The first step's tokens before and after; null in summaries of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TrainingOutcome? Outcome { get; init; }

    /// <summary>What rounding to the type of the files took from the change of the weights: ‖error‖ / ‖change‖.</summary>
    public double RoundingLoss { get; init; }

    /// <summary>Program and inputs; null in summaries of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonInclude]
    internal Provenance? Provenance { get; init; }

    /// <summary>The last step.</summary>
    public required StepMetrics LastStep { get; init; }

    /// <summary>Reads the file of a run.</summary>
    /// <param name="folder">Folder of the run.</param>
    /// <exception cref="UserException">It is missing or malformed.</exception>
    public static TuneSummary Read(string folder) => JsonLines.Read<TuneSummary>(Path.Combine(folder, FileName)) is [var summary]
        ? summary
        : throw new UserException($"{Path.Combine(folder, FileName)}: found no summary of a finished run");

    internal void Write(string folder) => JsonLines.Write(Path.Combine(folder, FileName), [this]);
}
