using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>
/// How a set for explicit unlearning is put together: what must go, then what must stay, then, where the objective has them, the refusals
/// in the order of what must go. A step has as many
/// of each.
/// </summary>
/// <param name="Forget">Examples that must go.</param>
/// <param name="Retain">Examples that must stay; 0 for none.</param>
/// <param name="Refusals">Whether every example that must go has a refusal.</param>
internal sealed record SetParts(int Forget, int Retain, bool Refusals)
{
    /// <summary>Whether the example of a place must stay.</summary>
    public bool IsRetained(int place) => place >= Forget && place < Forget + Retain;

    /// <summary>Place of the refusal of what must go.</summary>
    public int RefusalOf(int place) => Forget + Retain + place;
}

/// <summary>Encoded examples with the sign of every token.</summary>
internal sealed record TrainingSet
{
    /// <summary>The examples.</summary>
    public required IReadOnlyList<EncodedExample> Examples { get; init; }

    /// <summary>Per example, per token: 1 learnt, −1 forgotten, 0 ignored or no response.</summary>
    public required IReadOnlyList<sbyte[]> Signs { get; init; }

    /// <summary>
    /// Per example, per token: log-probability under the base model, where the ascent asks for it (<see
    /// cref="Backends.Ascent.NeedsBase"/>); else null.
    /// </summary>
    public IReadOnlyList<float[]>? BaseLogProbabilities { get; init; }

    /// <summary>The parts of a set for explicit unlearning; null for other sets.</summary>
    public SetParts? Parts { get; init; }

    /// <summary>Examples by which batches and passes over the set are counted: all, in explicit unlearning those that must go.</summary>
    public int Counted => Parts?.Forget ?? Examples.Count;

    /// <summary>
    /// Whether an example of a step goes through the model apart from the one before it: where what must stay is kept by another objective
    /// than a loss. Null for never.
    /// </summary>
    /// <param name="chosen">Places of the step's examples.</param>
    public Func<int, bool>? Apart(TrainingOptions options, int[] chosen) => options.HoldsBase && Parts is { } parts
        ? i => parts.IsRetained(chosen[i]) != parts.IsRetained(chosen[i - 1])
        : null;

    /// <summary>A set in which every response token is to be forgotten.</summary>
    public static TrainingSet AllNegative(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]>? baseLogProbabilities = null) =>
        new()
        {
            Examples = examples,
            Signs = [.. examples.Select(e => Array.ConvertAll(e.Response, r => (sbyte)(r ? -1 : 0)))],
            BaseLogProbabilities = baseLogProbabilities,
        };

    /// <summary>A set in which every response token has the sign that the data gives it, and is positive where it gives none.</summary>
    public static TrainingSet AsGiven(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]>? baseLogProbabilities = null) =>
        AllPositive(examples) with
        {
            Signs = ExampleLists.Map(examples, e => e.Response.Select((r, t) => (sbyte)(!r ? 0 : e.Given?[t] is -1 ? -1 : 1)).ToArray()),
            BaseLogProbabilities = baseLogProbabilities,
        };

    /// <summary>A set in which every response token is positive.</summary>
    public static TrainingSet AllPositive(IReadOnlyList<EncodedExample> examples) => new()
    {
        Examples = examples,
        Signs = ExampleLists.Map(examples, e => Array.ConvertAll(e.Response, r => (sbyte)(r ? 1 : 0))),
    };
}
