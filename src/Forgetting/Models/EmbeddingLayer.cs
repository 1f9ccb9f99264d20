using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Token embedding, plus a learned position embedding where the family has one.</summary>
internal sealed class EmbeddingLayer(Parameter tokens, Parameter? positions)
{
    /// <summary>[V, C]; also the output head where that is tied.</summary>
    public Parameter Tokens => tokens;

    /// <summary>Whether the sink needs a gradient of this layer.</summary>
    public bool Wanted(IGradientSink sink) => sink.Wants(tokens) || (positions is not null && sink.Wants(positions));

    /// <param name="y">[T, C], receives the tokens' rows.</param>
    /// <param name="residual">[T, C], receives the positions' rows where the family has them.</param>
    /// <returns>What must still be added to y: <paramref name="residual"/>, or default.</returns>
    public Tensor Forward(Pass pass, Tensor y, Tensor residual)
    {
        pass.Backend.GatherRows(tokens.Value, pass.Ids, y);
        if (positions is null)
        {
            return default;
        }

        pass.Backend.GatherRows(positions.Value, pass.Positions, residual);
        return residual;
    }

    /// <param name="dY">[T, C].</param>
    /// <param name="head">Float32 [T, C], the tied head's gradient in the rows of the input tokens where the sink is not linear, else default.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor head)
    {
        if (sink.Wants(tokens))
        {
            sink.Rows(tokens, pass.Ids, dY, pass.Offsets, head);
        }

        if (positions is not null && sink.Wants(positions))
        {
            sink.Rows(positions, pass.Positions, dY, pass.Offsets, default);
        }
    }
}
