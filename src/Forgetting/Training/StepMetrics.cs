using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.IO;

namespace Forgetting.Training;

/// <summary>One optimiser step, as a line of <c>metrics.jsonl</c> has it.</summary>
public sealed record StepMetrics
{
    /// <summary>Name of the held-out loss among the evaluations.</summary>
    internal const string HeldOutLossName = "valid/loss";

    /// <summary>Number of the step, from 1.</summary>
    public required int Step { get; init; }

    /// <summary>Steps that the run was to have when it was taken; 0 in files of earlier versions.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Steps { get; init; }

    /// <summary>
    /// Value of the signed objective Σ weight·CE over the step's tokens; for a bounded ascent too, whose own surrogate is not evaluated.
    /// </summary>
    public required double Loss { get; init; }

    /// <summary>Mean cross-entropy of positive tokens, nats; null without any.</summary>
    public required double? PositiveLoss { get; init; }

    /// <summary>Mean cross-entropy of negative tokens, nats; null without any.</summary>
    public required double? NegativeLoss { get; init; }

    /// <summary>λ of the step; 0 where the method forgets nothing.</summary>
    public required double Lambda { get; init; }

    /// <summary>Learning rate of the step.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Norm of the whole gradient before clipping.</summary>
    public required double GradNorm { get; init; }

    /// <summary>Tokens of the step's sequences, prompts included; there is no padding.</summary>
    public required long Tokens { get; init; }

    /// <summary><see cref="Tokens"/> over the step's time.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>Time since the training began, without evaluations and without the time in which an interrupted run stood still.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>Time in which the first of several ranks exchanged gradients while it computed; null where ranks do not.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ExchangeSeconds { get; init; }

    /// <summary>The part of <see cref="ExchangeSeconds"/> that was not behind the computing: the step waited for it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ExchangeWaitSeconds { get; init; }

    /// <summary>Norm of the positive term's gradient, where it was measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? PositiveGradNorm { get; init; }

    /// <summary>Norm of the negative term's gradient, λ included, where it was measured.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? NegativeGradNorm { get; init; }

    /// <summary>Cosine of the angle between the two, where it was measured and neither is 0.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? GradientCosine { get; init; }

    /// <summary>Value of the regularizer's term, which <see cref="Loss"/> does not contain; null without one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Regularizer { get; init; }

    /// <summary>
    /// Mean cross-entropy of the samples of <see cref="Unlearned"/> as they were met, nats; null where no
    /// unlearning step was taken before this step.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ForgetLoss { get; init; }

    /// <summary>Largest norm of the gradient of that mean in those unlearning steps, before weight and clip.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ForgetGradNorm { get; init; }

    /// <summary>Indices of the self-generated samples that were unlearnt between the step before and this one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<int>? Unlearned { get; init; }

    /// <summary>
    /// The step's examples by their places in the training set, from 0: the data's in its order, then what a method adds, such as what must
    /// stay. Null in files of earlier versions.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<int>? Examples { get; init; }

    /// <summary>What an evaluation after the step measured, by task and metric; null where there was none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, double>? Evaluation { get; init; }

    /// <summary>Time that evaluation took; <see cref="ElapsedSeconds"/> does not contain it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? EvaluationSeconds { get; init; }

    /// <summary>Loss of held-out examples after the step, from <see cref="Evaluation"/>; null where it was not measured.</summary>
    [JsonIgnore]
    public double? HeldOutLoss => Evaluation?.TryGetValue(HeldOutLossName, out double loss) == true ? loss : null;

    /// <summary>Reads <c>metrics.jsonl</c>.</summary>
    /// <exception cref="UserException">The file cannot be read or a line is not a step.</exception>
    public static IReadOnlyList<StepMetrics> Read(string path) => JsonLines.Read<StepMetrics>(path);
}
