using System.Globalization;
using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Data;
using Forgetting.Distributed;
using Forgetting.Methods;
using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Runs;

/// <summary>
/// The same tokens before and after training, those of the first step's examples: whether the run learnt what was to be learnt and forgot
/// what was to be forgotten, without the noise of comparing one batch with another.
/// </summary>
public sealed record TrainingOutcome
{
    /// <summary>Mean cross-entropy of the tokens to learn in the first step, nats.</summary>
    public required double? LearntBefore { get; init; }

    /// <summary>The same after the last step, without dropout.</summary>
    public required double? LearntAfter { get; init; }

    /// <summary>Mean cross-entropy of the negative tokens in the first step, nats; null without any.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? NegativeBefore { get; init; }

    /// <summary>The same after the last step.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? NegativeAfter { get; init; }

    /// <summary>Size of the vocabulary.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>
    /// Whether the loss ended far above where it began: by a nat, and either by half of it or beyond that of guessing evenly.
    /// </summary>
    [JsonIgnore]
    public bool Diverged =>
        LearntBefore is { } before && LearntAfter is { } after && after > before + 1
        && (after > 1.5 * before || after > Math.Log(Vocabulary));

    /// <summary>A line for a run that diverged, else null.</summary>
    [JsonIgnore]
    public string? Warning => !Diverged ? null : string.Create(
        CultureInfo.InvariantCulture,
        $"the run diverged: the loss of the first step's tokens to learn rose from {LearntBefore:#,0.0000} to {LearntAfter:#,0.0000}; "
            + $"a lower learning rate, clip or a bounded ascent may help");

    /// <summary>What a model's card says was measured: the losses before and after, and what the last evaluation found.</summary>
    /// <param name="steps">The run's steps.</param>
    internal IEnumerable<(string Name, double Value)> Measured(IReadOnlyList<StepMetrics> steps)
    {
        (string, double?)[] losses =
        [
            ("steps", steps.Count), ("learnt/loss_before", LearntBefore), ("learnt/loss", LearntAfter),
            ("negative/loss_before", NegativeBefore), ("negative/loss", NegativeAfter),
        ];
        IEnumerable<KeyValuePair<string, double>> evaluated =
            steps.LastOrDefault(s => s.Evaluation is { Count: > 0 })?.Evaluation ?? new Dictionary<string, double>();
        return [.. losses.Where(l => l.Item2 != null).Select(l => (l.Item1, l.Item2!.Value)), .. evaluated.Select(e => (e.Key, e.Value))];
    }

    /// <summary>Measures a model after its last step.</summary>
    /// <param name="first">Metrics of the first step.</param>
    /// <exception cref="UserException">A loss is not finite: the last update broke the model.</exception>
    internal static TrainingOutcome Measure(
        Decoder decoder, TrainingSet set, TrainingOptions options, StepMetrics first, ICommunicator ranks,
        CancellationToken cancellation)
    {
        int[] places = [.. DataOrder.From(set, options).At(0)];
        EncodedExample[] examples = [.. places.Select(i => set.Examples[i])];
        sbyte[][] signs = [.. places.Select(i => set.Signs[i])];
        IReadOnlyList<float[]> losses;
        try
        {
            losses = Scorer.Losses(
                decoder, examples, options.Compute.MicroBatchTokens, allTokens: false, cancellation: cancellation, ranks: ranks);
        }
        catch (UserException error)
        {
            throw new UserException(
                $"after the last step's update {error.Message} The model is not written; a lower learning rate or clip may help", error);
        }

        double? Mean(int sign)
        {
            double sum = 0, mass = 0;
            for (int i = 0; i < examples.Length; i++)
            {
                for (int t = 0; t < examples[i].Length; t++)
                {
                    double weight = signs[i][t] == sign ? examples[i].Weights?[t] ?? 1 : 0;
                    sum += weight * losses[i][t];
                    mass += weight;
                }
            }

            return mass == 0 ? null : sum / mass;
        }

        return new TrainingOutcome
        {
            LearntBefore = first.PositiveLoss, LearntAfter = Mean(1), NegativeBefore = first.NegativeLoss, NegativeAfter = Mean(-1),
            Vocabulary = decoder.Config.VocabularySize,
        };
    }
}
