using Forgetting.Data;

namespace Forgetting.Training;

/// <summary>Encoded examples with the sign of every token.</summary>
internal sealed record TrainingSet
{
    /// <summary>The examples.</summary>
    public required IReadOnlyList<EncodedExample> Examples { get; init; }

    /// <summary>Per example, per token: 1 learnt, −1 forgotten, 0 ignored or no response.</summary>
    public required IReadOnlyList<sbyte[]> Signs { get; init; }

    /// <summary>Per example, per token: log-probability under the base model, where the ascent asks for it (<see cref="Backends.Ascent.NeedsBase"/>); else null.</summary>
    public IReadOnlyList<float[]>? BaseLogProbabilities { get; init; }

    /// <summary>A set in which every response token is to be forgotten.</summary>
    public static TrainingSet AllNegative(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]>? baseLogProbabilities = null) => new()
    {
        Examples = examples,
        Signs = [.. examples.Select(e => Array.ConvertAll(e.Response, r => (sbyte)(r ? -1 : 0)))],
        BaseLogProbabilities = baseLogProbabilities,
    };

    /// <summary>A set in which every response token has the sign that the data gives it, and is positive where it gives none.</summary>
    public static TrainingSet AsGiven(IReadOnlyList<EncodedExample> examples, IReadOnlyList<float[]>? baseLogProbabilities = null) => AllPositive(examples) with
    {
        Signs = [.. examples.Select(e => e.Response.Select((r, t) => (sbyte)(!r ? 0 : e.Given?[t] is -1 ? -1 : 1)).ToArray())],
        BaseLogProbabilities = baseLogProbabilities,
    };

    /// <summary>A set in which every response token is positive.</summary>
    public static TrainingSet AllPositive(IReadOnlyList<EncodedExample> examples) => new()
    {
        Examples = examples,
        Signs = [.. examples.Select(e => Array.ConvertAll(e.Response, r => (sbyte)(r ? 1 : 0)))],
    };
}
