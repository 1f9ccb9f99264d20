using System.Text.Json.Serialization;
using Forgetting.Core;
using Forgetting.Models;

namespace Forgetting.Training;

/// <summary>The best evaluation of a run so far.</summary>
/// <param name="Step">Optimiser steps done when it was made.</param>
/// <param name="Metric">What it is judged by.</param>
/// <param name="Value">Its value.</param>
public sealed record BestStep(int Step, string Metric, double Value)
{
    /// <summary>Hash of the adapter that was kept; null where whole weights were.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Adapter { get; init; }
}

/// <summary>Evaluates a model while it is trained.</summary>
internal interface IStepEvaluator
{
    /// <summary>The best evaluation so far, or null; a run that resumes sets what its checkpoint says.</summary>
    BestStep? Best { get; set; }

    /// <summary>Whether the model is evaluated before the first step too.</summary>
    bool EvaluatesBefore => false;

    /// <summary>
    /// Evaluates the model as it is, and keeps it if none was better. Neither the model nor anything random is changed: a training takes
    /// the same course with and without evaluations.
    /// </summary>
    /// <param name="step">Optimiser steps done.</param>
    /// <returns>What was measured, by name; finite numbers only.</returns>
    /// <exception cref="UserException">A log-probability is not finite, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; nothing was kept.</exception>
    IReadOnlyDictionary<string, double> Evaluate(int step, CancellationToken cancellation);

    /// <summary>
    /// Asks for the memory that <see cref="Evaluate"/> does, and answers nothing: for a model on a backend that only counts memory.
    /// </summary>
    void Rehearse(Decoder decoder);
}
