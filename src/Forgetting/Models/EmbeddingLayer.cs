using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Token embedding, plus a learned position embedding where the family has one.</summary>
internal sealed class EmbeddingLayer(LookupTable tokens, LookupTable? positions)
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
        if (positions is null)
            return default;

        positions.Forward(pass, pass.Positions, residual);
        return residual;
    }

    /// <param name="dY">[T, C].</param>
    /// <param name="head">Float32 [T, C], the tied head's gradient in the rows of the input tokens where the sink
    /// is not linear, else default.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor head)
    {
        tokens.Backward(pass, sink, pass.Ids, dY, head);
        positions?.Backward(pass, sink, pass.Positions, dY, default);
    }
}
