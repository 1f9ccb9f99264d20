using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Pre-norm transformer block: m = x + attention(norm(x)), output = m + mlp(norm(m)).</summary>
/// <remarks>
/// The norm that reads a sum makes it, so that the residual stream is read and written once:
/// <code>
///   x, residual ─▶ attention norm: x += residual ─▶ attention ─▶ middle
///   middle, x   ─▶ mlp norm: middle += x         ─▶ mlp       ─▶ y
///   y, middle   ─▶ the next block's x and residual, or those of the final norm
/// </code>
/// </remarks>
internal sealed class Block
{
    private readonly NormLayer _attentionNorm;
    private readonly AttentionLayer _attention;
    private readonly NormLayer _mlpNorm;
    private readonly MlpLayer _mlp;

    private Tensor _x; // [T, C] input, complete
    private Tensor _attentionInput; // [T, C] norm(x)
    private Tensor _middle; // [T, C] m
    private Tensor _mlpInput; // [T, C] norm(m)

    public Block(ModuleBuilder builder, int layer)
    {
        string path = $"{builder.Names.Blocks}.{layer}";
        _attentionNorm = builder.Norm($"{path}.{builder.Names.AttentionNorm}");
        _attention = new AttentionLayer(builder, layer, path);
        _mlpNorm = builder.Norm($"{path}.{builder.Names.MlpNorm}");
        _mlp = new MlpLayer(builder, path);
    }

    /// <summary>The two layers that write to the residual stream.</summary>
    public IEnumerable<Linear> ResidualProjections => [_attention.Output, _mlp.Output];

    /// <summary>Whether the sink needs the gradient of what the first norm sees or holds.</summary>
    public bool NormWanted(IGradientSink sink) => _attentionNorm.Wanted(sink);

    /// <summary>
    /// The norms do the additions, each that of its own input; so the block's output is <paramref name="y"/> + <paramref name="middle"/>,
    /// which the next block's or the final norm adds up.
    /// </summary>
    /// <param name="x">[T, C]: the block's input but for <paramref name="residual"/>, which is added to it.</param>
    /// <param name="residual">[T, C], or default where x is complete.</param>
    /// <param name="middle">[T, C], receives m. It may be the residual, which is read before.</param>
    /// <param name="y">[T, C], receives mlp(norm(m)), or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, Tensor residual, Tensor middle, Tensor y)
    {
        _x = x;
        _attentionInput = pass.Take(x.Columns);
        _attentionNorm.Forward(pass, x, residual, _attentionInput);
        _middle = middle;
        _attention.Forward(pass, _attentionInput, middle);
        _mlpInput = pass.Take(x.Columns);
        _mlpNorm.Forward(pass, middle, x, _mlpInput);
        _mlp.Forward(pass, _mlpInput, y);
    }

    /// <param name="dX">[T, C]: holds the output's gradient, receives the input's.</param>
    /// <param name="inputGradient">False where nothing below needs a gradient: then <paramref name="dX"/> is left incomplete.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dX, bool inputGradient)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor dNorm = pass.Take(dX.Columns); // [T, C] gradient at a norm's output
        _mlp.Backward(pass, sink, _mlpInput, dX, dNorm);
        _mlpNorm.Backward(pass, sink, dNorm, _middle, dX);
        _attention.Backward(pass, sink, _attentionInput, dX, inputGradient ? dNorm : default);
        if (inputGradient)
            _attentionNorm.Backward(pass, sink, dNorm, _x, dX);

        pass.Arena.Release(mark);
    }
}
