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
    private readonly Linear? _fused; // q, k and v side by side, instead of the next three
    private readonly Linear? _query;
    private readonly Linear? _key;
    private readonly Linear? _value;
    private readonly Linear _output;
    private readonly HeadNorm? _queryNorm;
    private readonly HeadNorm? _keyNorm;
    private readonly AttentionShape _shape;
    private readonly int _layer;
    private readonly bool _byHead;

    private Tensor _q; // [T, H·D] turned
    private Tensor _k; // [T, G·D] turned
    private Tensor _v; // [T, G·D]
    private Tensor _o; // [T, H·D]
    private Tensor _logSumExp; // Float32 [T, H]

    public AttentionLayer(ModuleBuilder builder, int layer, string block)
    {
        ModelConfig config = builder.Config;
        ModuleNames names = builder.Names;
        _layer = layer;
        _shape = new AttentionShape(
            config.Heads, config.KeyValueHeads, config.HeadSize, (float)config.AttentionScale, config.WindowOf(layer),
            (float)config.ScoreCap);
        int hidden = config.HiddenSize;
        bool bias = config.QueryKeyValueBias;
        _byHead = config.QueryKeyValueByHead;
        if (names.FusedQueryKeyValue is { } fused)
        {
            _fused = builder.Linear($"{block}.{fused}", hidden, QueryWidth + 2 * KeyValueWidth, bias);
        }
        else
        {
            _query = builder.Linear($"{block}.{names.Query}", hidden, QueryWidth, bias);
            _key = builder.Linear($"{block}.{names.Key}", hidden, KeyValueWidth, bias);
            _value = builder.Linear($"{block}.{names.Value}", hidden, KeyValueWidth, bias);
        }

        if (config.QueryKeyNorm != QueryKeyNorm.None)
        {
            _queryNorm = new HeadNorm(builder, $"{block}.{names.QueryNorm}", _shape.Heads);
            _keyNorm = new HeadNorm(builder, $"{block}.{names.KeyNorm}", _shape.KeyValueHeads);
        }

        _output = builder.Linear($"{block}.{names.AttentionOutput}", QueryWidth, hidden, config.AttentionOutputBias);
    }

    /// <summary>The layer that writes to the residual stream.</summary>
    public Linear Output => _output;

    private int QueryWidth => _shape.Heads * _shape.HeadSize; // H·D

    private int KeyValueWidth => _shape.KeyValueHeads * _shape.HeadSize; // G·D

    /// <param name="x">[T, C].</param>
    /// <param name="y">[T, C].</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        _q = pass.Take(QueryWidth);
        _k = pass.Take(KeyValueWidth);
        _v = pass.Take(KeyValueWidth);
        _o = Project(pass, x);
        _q = _queryNorm?.Forward(pass, _q) ?? _q;
        _k = _keyNorm?.Forward(pass, _k) ?? _k;
        ApplyRope(pass, _q, _k, inverse: false);
        if (pass.Cache is { } cache)
        {
            cache.Append(pass, _layer, _k, _v);
            pass.Backend.AttentionWithCache(
                _shape, _q, pass.Offsets, cache.Keys(_layer), cache.Values(_layer), cache.Starts, cache.Lengths, _o);
        }
        else
        {
            _logSumExp = pass.Arena.Take(pass.Rows, _shape.Heads);
            pass.Backend.Attention(_shape, _q, _k, _v, pass.Offsets, _o, _logSumExp);
        }

        _output.Forward(pass, _o, y);
    }

    /// <param name="x">[T, C], as in the forward.</param>
    /// <param name="dY">[T, C].</param>
    /// <param name="dX">[T, C], overwritten; or default where nobody needs it.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, Tensor dY, Tensor dX)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor dQ = pass.Take(QueryWidth); // [T, H·D]
        Tensor dK = pass.Take(KeyValueWidth); // [T, G·D]
        Tensor dV = pass.Take(KeyValueWidth); // [T, G·D]
        ArenaMark inner = pass.Arena.Mark();
        Tensor dO = pass.Take(QueryWidth); // [T, H·D]
        _output.Backward(pass, sink, _o, dY, dO);
        Tensor delta = pass.Arena.Take(pass.Rows, _shape.Heads); // Float32 [T, H]
        pass.Backend.AttentionBackward(_shape, _q, _k, _v, pass.Offsets, _o, _logSumExp, dO, delta, dQ, dK, dV);
        pass.Arena.Release(inner);
        ApplyRope(pass, dQ, dK, inverse: true);
        dQ = _queryNorm?.Backward(pass, sink, dQ) ?? dQ;
        dK = _keyNorm?.Backward(pass, sink, dK) ?? dK;
        ProjectBackward(pass, sink, x, dQ, dK, dV, dX);
        pass.Arena.Release(mark);
    }

    // Computes q, k and v; returns where the attention's output [T, H·D] goes.
    private Tensor Project(Pass pass, Tensor x)
    {
        if (_fused is null)
        {
            _query!.Forward(pass, x, _q);
            _key!.Forward(pass, x, _k);
            _value!.Forward(pass, x, _v);
            return pass.Take(QueryWidth);
        }

        Tensor joint = pass.Take(QueryWidth + 2 * KeyValueWidth); // [T, (H + 2G)·D]
        _fused.Forward(pass, x, joint);
        Split(pass, joint, _q, 0);
        Split(pass, joint, _k, 1);
        Split(pass, joint, _v, 2);

        // The joint result is dead after the split, so its memory serves again.
        return new Tensor(joint.Pointer, new Shape(pass.Rows, QueryWidth), joint.DType);
    }

    private void ProjectBackward(Pass pass, IGradientSink sink, Tensor x, Tensor dQ, Tensor dK, Tensor dV, Tensor dX)
    {
        if (_fused is null)
        {
            _query!.Backward(pass, sink, x, dQ, dX);
            _key!.Backward(pass, sink, x, dK, dX, add: true);
            _value!.Backward(pass, sink, x, dV, dX, add: true);
            return;
        }

        Tensor joint = pass.Take(QueryWidth + 2 * KeyValueWidth); // [T, (H + 2G)·D]
        Join(pass, dQ, joint, 0);
        Join(pass, dK, joint, 1);
        Join(pass, dV, joint, 2);
        _fused.Backward(pass, sink, x, joint, dX);
    }

    // Rows of q, k or v, those of the joint result, and the first column of these where they stand.
    private (Tensor Part, Tensor Whole, int First) Part(Tensor joint, Tensor part, int number)
    {
        if (!_byHead)
            return (part, joint, number == 0 ? 0 : QueryWidth + ((number - 1) * KeyValueWidth));

        int d = _shape.HeadSize;
        var heads = new Shape(part.Rows * _shape.Heads, d);
        return (part.Reshape(heads), joint.Reshape(new Shape(heads.Rows, 3 * d)), number * d);
    }

    private void Split(Pass pass, Tensor joint, Tensor result, int number)
    {
        (Tensor part, Tensor whole, int first) = Part(joint, result, number);
        pass.Backend.CopyColumns(whole, first, part, 0, part.Columns);
    }

    private void Join(Pass pass, Tensor gradient, Tensor joint, int number)
    {
        (Tensor part, Tensor whole, int first) = Part(joint, gradient, number);
        pass.Backend.CopyColumns(part, 0, whole, first, part.Columns);
    }

    private void ApplyRope(Pass pass, Tensor q, Tensor k, bool inverse)
    {
        if (pass.Rotary(_layer) is { } rotary)
        {
            pass.Backend.Rope(q, pass.Positions, rotary.Cosine, rotary.Sine, _shape.HeadSize, inverse);
            pass.Backend.Rope(k, pass.Positions, rotary.Cosine, rotary.Sine, _shape.HeadSize, inverse);
        }
    }
}
