using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// Transformer block: m = x + attention(norm(x)), output = m + mlp(norm(m)), or with norms of what the layers give, before or instead of
/// those of what they read (<see cref="NormPlace"/>).
/// </summary>
/// <remarks>
/// The norm that reads a sum makes it, so that the residual stream is read and written once:
/// <code>
///   x, residual ─▶ attention norm: x += residual ─▶ attention ─▶ middle
///   middle, x   ─▶ mlp norm: middle += x         ─▶ mlp       ─▶ y
///   y, middle   ─▶ the next block's x and residual, or those of the final norm
/// </code>
/// Where a layer reads the sum itself, it is made by an addition; so is m where attention and MLP read the same x.
/// </remarks>
internal sealed class Block
{
    private readonly NormLayer? _attentionNorm;
    private readonly AttentionLayer _attention;
    private readonly NormLayer? _attentionOutputNorm;
    private readonly NormLayer? _mlpNorm;
    private readonly MlpLayer _mlp;
    private readonly NormLayer? _mlpOutputNorm;
    private readonly float _scale;
    private readonly bool _parallel; // both layers read x

    private Tensor _x; // [T, C] input, complete
    private Tensor _attentionInput; // [T, C] norm(x), or x
    private Tensor _attentionOutput; // [T, C] input of its norm
    private Tensor _middle; // [T, C] m
    private Tensor _mlpInput; // [T, C] norm(m), or m
    private Tensor _mlpOutput; // [T, C] input of its norm

    public Block(ModuleBuilder builder, int layer)
    {
        ModuleNames names = builder.Names;
        NormPlace place = builder.Config.NormPlace;
        string path = $"{names.Blocks}.{layer}";
        _attentionNorm = Norm(NormPlace.After, names.AttentionNorm);
        _attention = new AttentionLayer(builder, layer, path);
        _attentionOutputNorm = Norm(NormPlace.Before, names.AttentionOutputNorm);
        _mlpNorm = Norm(NormPlace.After, names.MlpNorm);
        _mlp = new MlpLayer(builder, path);
        _mlpOutputNorm = Norm(NormPlace.Before, names.MlpOutputNorm);
        _scale = (float)builder.Config.ResidualScale;
        _parallel = builder.Config.ParallelBlocks;

        NormLayer? Norm(NormPlace without, string name) => place == without ? null : builder.Norm($"{path}.{name}");
    }

    /// <summary>The two layers that write to the residual stream.</summary>
    public IEnumerable<Linear> ResidualProjections => [_attention.Output, _mlp.Output];

    /// <summary>The last layer of the MLP.</summary>
    public Linear MlpOutput => _mlp.Output;

    /// <summary>Whether the sink needs the gradient of what a norm of the block's input sees or holds.</summary>
    public bool NormWanted(IGradientSink sink) =>
        (_attentionNorm?.Wanted(sink) ?? false) || (_parallel && (_mlpNorm?.Wanted(sink) ?? false));

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
        _attentionInput = Input(pass, _attentionNorm, x, residual);
        _middle = middle;
        _attentionOutput = _attentionOutputNorm is null ? middle : pass.Take(x.Columns);
        _attention.Forward(pass, _attentionInput, _attentionOutput);
        Finish(pass, _attentionOutputNorm, _attentionOutput, middle);
        _mlpInput = _parallel ? Input(pass, _mlpNorm, x, default) : Input(pass, _mlpNorm, middle, x);
        if (_parallel)
            pass.Backend.Axpy(1, x, middle);

        _mlpOutput = _mlpOutputNorm is null ? y : pass.Take(x.Columns);
        _mlp.Forward(pass, _mlpInput, _mlpOutput);
        if (_mlpOutputNorm is not null || !y.IsEmpty)
            Finish(pass, _mlpOutputNorm, _mlpOutput, y);
    }

    /// <param name="dX">[T, C]: holds the output's gradient, receives the input's.</param>
    /// <param name="inputGradient">False where nothing below needs a gradient: then <paramref name="dX"/> is left incomplete.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dX, bool inputGradient)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor dInput = pass.Take(dX.Columns); // [T, C] gradient at what a layer reads
        ArenaMark inner = pass.Arena.Mark();
        _mlp.Backward(pass, sink, _mlpInput, BeginBackward(pass, sink, _mlpOutputNorm, _mlpOutput, dX), dInput);
        pass.Arena.Release(inner);
        if (_parallel)
        {
            ParallelBackward(pass, sink, dInput, dX, inputGradient);
            pass.Arena.Release(mark);
            return;
        }

        InputBackward(pass, sink, _mlpNorm, dInput, _middle, dX);
        _attention.Backward(
            pass, sink, _attentionInput, BeginBackward(pass, sink, _attentionOutputNorm, _attentionOutput, dX),
            inputGradient ? dInput : default);
        if (inputGradient)
            InputBackward(pass, sink, _attentionNorm, dInput, _x, dX);

        pass.Arena.Release(mark);
    }

    // Attention's gradient is that of the output, as the MLP's was, before either adds to it.
    private void ParallelBackward(Pass pass, IGradientSink sink, Tensor dMlpInput, Tensor dX, bool inputGradient)
    {
        Tensor dAttentionInput = inputGradient ? pass.Take(dX.Columns) : default; // [T, C]
        _attention.Backward(
            pass, sink, _attentionInput, BeginBackward(pass, sink, _attentionOutputNorm, _attentionOutput, dX), dAttentionInput);
        if (!inputGradient)
            return;

        InputBackward(pass, sink, _mlpNorm, dMlpInput, _x, dX);
        InputBackward(pass, sink, _attentionNorm, dAttentionInput, _x, dX);
    }

    // What a layer reads: the sum, or its norm.
    private static Tensor Input(Pass pass, NormLayer? norm, Tensor sum, Tensor added)
    {
        if (norm is null)
        {
            if (!added.IsEmpty)
                pass.Backend.Axpy(1, added, sum);

            return sum;
        }

        Tensor input = pass.Take(sum.Columns);
        norm.Forward(pass, sum, added, input);
        return input;
    }

    // From what a layer gives to what is added to the stream; the two are the same memory where there is no norm.
    private void Finish(Pass pass, NormLayer? norm, Tensor output, Tensor branch)
    {
        // A backward that comes next reads what the norm keeps of a row, and its result is nobody's.
        if (norm is not null)
            norm.Forward(pass, output, default, branch.IsEmpty ? branch = pass.Take(output.Columns) : branch);

        if (_scale != 1)
            pass.Backend.Scale(branch, _scale);
    }

    // From the stream's gradient, which is kept, to that of what a layer gives.
    private Tensor BeginBackward(Pass pass, IGradientSink sink, NormLayer? norm, Tensor output, Tensor dX)
    {
        Tensor dBranch = dX;
        if (_scale != 1)
        {
            dBranch = pass.Take(dX.Columns);
            pass.Backend.Copy(dX, dBranch);
            pass.Backend.Scale(dBranch, _scale);
        }

        if (norm is null)
            return dBranch;

        Tensor dOutput = pass.Take(dX.Columns);
        norm.BackwardApart(pass, sink, dBranch, output, dOutput, pass.Offsets);
        return dOutput;
    }

    // Adds to the stream's gradient what came back through a layer.
    private static void InputBackward(Pass pass, IGradientSink sink, NormLayer? norm, Tensor dInput, Tensor sum, Tensor dX)
    {
        if (norm is null)
        {
            pass.Backend.Axpy(1, dInput, dX);
        }
        else
        {
            norm.Backward(pass, sink, dInput, sum, dX);
        }
    }
}
