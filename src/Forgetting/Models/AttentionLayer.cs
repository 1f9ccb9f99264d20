using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Causal self-attention with grouped queries: H query heads share G key-value heads of D columns each.
/// <code>
/// x [T, C] ─ query ─→ q [T, H·D] ─ rope ─┐
///          ─ key ───→ k [T, G·D] ─ rope ─┼─ attention ─→ o [T, H·D] ─ output ─→ y [T, C]
///          ─ value ─→ v [T, G·D] ────────┘   head h of q sees head h / (H / G) of k and v
/// </code>
/// Queries and keys may pass through norms of their own before they are turned.
/// </summary>
internal sealed class AttentionLayer
{
    private readonly QueryKeyValue _input;
    private readonly Linear _output;
    private readonly AttentionShape _shape;
    private readonly int _layer;

    private AttentionInputs _inputs; // q, k, v
    private Tensor _o; // [T, H·D]
    private Tensor _logSumExp; // Float32 [T, H]

    public AttentionLayer(ModuleBuilder builder, int layer, string block)
    {
        ModelConfig config = builder.Config;
        _layer = layer;
        _shape = new AttentionShape(
            config.Heads, config.KeyValueHeads, config.HeadSize, (float)config.AttentionScale, config.WindowOf(layer),
            (float)config.ScoreCap);
        _input = new QueryKeyValue(builder, layer, block, _shape);
        _output = builder.Linear(
            $"{block}.{builder.Names.AttentionOutput}", Width, config.HiddenSize, config.AttentionOutputBias);
    }

    /// <summary>The layer that writes to the residual stream.</summary>
    public Linear Output => _output;

    private int Width => _shape.Heads * _shape.HeadSize; // H·D

    /// <param name="x">[T, C].</param>
    /// <param name="y">[T, C].</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        (_inputs, _o) = _input.Forward(pass, x);
        if (pass.Cache is { } cache)
        {
            cache.Append(pass, _layer, _inputs.Keys, _inputs.Values);
            pass.Backend.AttentionWithCache(
                _shape, _inputs.Queries, pass.Offsets, cache.Keys(_layer), cache.Values(_layer), cache.Starts, cache.Lengths, _o);
        }
        else
        {
            _logSumExp = pass.Arena.Take(pass.Rows, _shape.Heads);
            pass.Backend.Attention(_shape, _inputs.Queries, _inputs.Keys, _inputs.Values, pass.Offsets, _o, _logSumExp);
        }

        _output.Forward(pass, _o, y);
    }

    /// <param name="x">[T, C], as in the forward.</param>
    /// <param name="dY">[T, C].</param>
    /// <param name="dX">[T, C], overwritten; or default where nobody needs it.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, Tensor dY, Tensor dX)
    {
        ArenaMark mark = pass.Arena.Mark();
        AttentionInputs gradients = _input.Take(pass);
        ArenaMark inner = pass.Arena.Mark();
        Tensor dO = pass.Take(Width); // [T, H·D]
        _output.Backward(pass, sink, _o, dY, dO);
        Tensor delta = pass.Arena.Take(pass.Rows, _shape.Heads); // Float32 [T, H]
        pass.Backend.AttentionBackward(
            _shape, _inputs.Queries, _inputs.Keys, _inputs.Values, pass.Offsets, _o, _logSumExp, dO, delta, gradients.Queries,
            gradients.Keys, gradients.Values);
        pass.Arena.Release(inner);
        _input.Backward(pass, sink, x, gradients, dX);
        pass.Arena.Release(mark);
    }
}
