using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Token embedding, plus a learned position embedding where the family has one.</summary>
/// <param name="scale">Factor on the tokens' rows, where the head that is tied to them has none.</param>
internal sealed class EmbeddingLayer(LookupTable tokens, LookupTable? positions, float scale)
{
    /// <summary>[V, C]; also the output head where that is tied.</summary>
    public Parameter Tokens => tokens.Weight;

    /// <summary>Whether the sink needs a gradient of this layer.</summary>
    public bool Wanted(IGradientSink sink) => tokens.Wanted(sink) || (positions is not null && positions.Wanted(sink));

    /// <param name="y">[T, C], receives the tokens' rows.</param>
    /// <param name="residual">[T, C], receives the positions' rows where the family has them.</param>
    /// <returns>What must still be added to y: <paramref name="residual"/>, or default.</returns>
    public Tensor Forward(Pass pass, Tensor y, Tensor residual)
    {
        tokens.Forward(pass, pass.Ids, y);
        if (scale != 1)
            pass.Backend.Scale(y, scale);

        if (positions is null)
            return default;

        positions.Forward(pass, pass.Positions, residual);
        return residual;
    }

    /// <param name="dY">[T, C]; overwritten.</param>
    /// <param name="head">Float32 [T, C], the tied head's gradient in the rows of the input tokens where the sink
    /// is not linear, else default.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor head)
    {
        positions?.Backward(pass, sink, pass.Positions, dY, default);
        if (scale != 1)
            pass.Backend.Scale(dY, scale);

        tokens.Backward(pass, sink, pass.Ids, dY, head);
    }
}
