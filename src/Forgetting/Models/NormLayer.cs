using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>RMSNorm, or LayerNorm where there is a bias.</summary>
/// <param name="gain">[1, C].</param>
/// <param name="bias">[1, C], or null.</param>
/// <param name="offset">What is added to the gains of RMSNorm.</param>
/// <param name="epsilon">ε.</param>
internal sealed class NormLayer(Parameter gain, Parameter? bias, float offset, float epsilon)
{
    private Tensor _statistics; // RMSNorm: rstd [1, T]; LayerNorm: mean and rstd [T, 2]; Float32

    /// <summary>Whether the sink needs a gradient of this layer's own.</summary>
    public bool Wanted(IGradientSink sink) => sink.Wants(gain) || (bias is not null && sink.Wants(bias));

    /// <summary>y = norm(x), after x += residual.</summary>
    /// <param name="x">[T, C], or [T·H, D] of heads.</param>
    /// <param name="residual">[T, C], or default where nothing is to be added.</param>
    /// <param name="y">[T, C].</param>
    public void Forward(Pass pass, Tensor x, Tensor residual, Tensor y)
    {
        if (bias is null)
        {
            _statistics = pass.Arena.Take(1, x.Rows);
            pass.Backend.RmsNorm(x, residual, gain.Value, offset, epsilon, y, _statistics);
        }
        else
        {
            _statistics = pass.Arena.Take(x.Rows, 2);
            pass.Backend.LayerNorm(x, residual, gain.Value, bias.Value, epsilon, y, _statistics);
        }
    }

    /// <summary>Adds the input's gradient to <paramref name="dX"/>, which already holds the residual's.</summary>
    /// <param name="dY">[T, C]; overwritten.</param>
    /// <param name="x">[T, C], as the forward left it.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor x, Tensor dX) =>
        Backward(pass, sink, dY, x, dX, pass.Offsets, keep: false);

    /// <summary>The input's gradient, of a norm whose input nothing else reads.</summary>
    /// <param name="dY">[T, C]; kept.</param>
    /// <param name="x">[T, C], as the forward left it.</param>
    /// <param name="dX">[T, C], overwritten.</param>
    /// <param name="offsets">First row of each document.</param>
    public void BackwardApart(Pass pass, IGradientSink sink, Tensor dY, Tensor x, Tensor dX, Tensor offsets)
    {
        pass.Backend.Fill(dX, 0);
        Backward(pass, sink, dY, x, dX, offsets, keep: true);
    }

    private void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor x, Tensor dX, Tensor offsets, bool keep)
    {
        ArenaMark mark = pass.Arena.Mark();
        Tensor product = !sink.Wants(gain) ? default // dY ∘ x̂, of RMSNorm in place where it may be
            : keep || bias is not null ? pass.Arena.Take(x.Shape, x.DType)
            : dY;
        if (bias is null)
        {
            pass.Backend.RmsNormBackward(dY, x, gain.Value, offset, _statistics, dX, product);
        }
        else
        {
            if (sink.Wants(bias))
                sink.Vector(bias, dY, offsets);

            pass.Backend.LayerNormBackward(dY, x, gain.Value, _statistics, dX, product);
        }

        if (!product.IsEmpty)
            sink.Vector(gain, product, offsets);

        pass.Arena.Release(mark);
    }
}
