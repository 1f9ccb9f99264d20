using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>Pre-norm transformer block: m = x + attention(norm(x)), y = m + mlp(norm(m)).</summary>
internal sealed class Block
{
    private readonly NormLayer _attentionNorm;
    private readonly AttentionLayer _attention;
    private readonly NormLayer _mlpNorm;
    private readonly MlpLayer _mlp;

    private Tensor _x; // [T, C] input
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

    public IEnumerable<Linear> Linears => _attention.Linears.Concat(_mlp.Linears);

    /// <summary>The two layers that write to the residual stream.</summary>
    public IEnumerable<Linear> ResidualProjections => [_attention.Output, _mlp.Output];

    /// <summary>Whether the sink needs the gradient of what the first norm sees or holds.</summary>
    public bool NormWanted(IGradientSink sink) => _attentionNorm.Wanted(sink);

    /// <param name="x">[T, C].</param>
    /// <param name="y">[T, C].</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        _x = x;
        _attentionInput = pass.Take(x.Columns);
        _attentionNorm.Forward(pass, x, _attentionInput);
        _middle = pass.Take(x.Columns);
        _attention.Forward(pass, _attentionInput, _middle);
        pass.Backend.Add(_middle, x, _middle);
        _mlpInput = pass.Take(x.Columns);
        _mlpNorm.Forward(pass, _middle, _mlpInput);
        _mlp.Forward(pass, _mlpInput, y);
        pass.Backend.Add(y, _middle, y);
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
        {
            _attentionNorm.Backward(pass, sink, dNorm, _x, dX);
        }

        pass.Arena.Release(mark);
    }
}
