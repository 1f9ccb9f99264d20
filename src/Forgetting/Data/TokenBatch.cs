
namespace Forgetting.Data;

/// <summary>
/// A micro-batch: sequences end to end without padding, one document each, so packing and document masks are the same thing. Row t of the
/// model sees token Ids[t]; only rows that need a prediction reach the output head, and those are listed in <see cref="HeadRows"/>.
/// All arrays are on the host; the decoder uploads them.
/// </summary>
internal sealed record TokenBatch
{
    /// <summary>[T] input tokens.</summary>
    public required int[] Ids { get; init; }

    /// <summary>[T] position within the document, from 0.</summary>
    public required int[] Positions { get; init; }

    /// <summary>[n + 1] first row of each document, T last.</summary>
    public required int[] Offsets { get; init; }

    /// <summary>[n] index of each document in its data set, for reports and errors.</summary>
    public required int[] Examples { get; init; }

    /// <summary>[T] keys of the dropout mask: distinct within an optimiser step and independent of batching.</summary>
    public required int[] RowKeys { get; init; }

    /// <summary>[R] rows whose next token is predicted, ascending.</summary>
    public required int[] HeadRows { get; init; }

    /// <summary>[n + 1] the part of <see cref="HeadRows"/> that belongs to each document.</summary>
    public required int[] HeadOffsets { get; init; }

    /// <summary>[R] the token to predict at each head row.</summary>
    public required int[] Targets { get; init; }

    /// <summary>[R] signed weight of each prediction's cross-entropy in the objective; ignored when only losses are asked for.</summary>
    public required float[] Weights { get; init; }

    /// <summary>
    /// [R] log-probability of the target under the base model, where the ascent asks for it
    /// (<see cref="Backends.Ascent.NeedsBase"/>); else null.
    /// </summary>
    public float[]? BaseLogProbabilities { get; init; }

    /// <summary>T.</summary>
    public int Rows => Ids.Length;

    /// <summary>n.</summary>
    public int Documents => Offsets.Length - 1;
}
