using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>RMSNorm, or LayerNorm where there is a bias.</summary>
internal sealed class NormLayer(Parameter gain, Parameter? bias, float epsilon)
{
    private Tensor _statistics; // RMSNorm: rstd [1, T]; LayerNorm: mean and rstd [T, 2]; Float32

    /// <summary>Whether the sink needs a gradient of this layer's own.</summary>
    public bool Wanted(IGradientSink sink) => sink.Wants(gain) || (bias is not null && sink.Wants(bias));

    /// <summary>y = norm(x), after x += residual.</summary>
    /// <param name="x">[T, C].</param>
    /// <param name="residual">[T, C], or default where nothing is to be added.</param>
    /// <param name="y">[T, C].</param>
    public void Forward(Pass pass, Tensor x, Tensor residual, Tensor y)
    {
        if (bias is null)
        {
            _statistics = pass.Arena.Take(1, x.Rows);
            pass.Backend.RmsNorm(x, residual, gain.Value, epsilon, y, _statistics);
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
    public void Backward(Pass pass, IGradientSink sink, Tensor dY, Tensor x, Tensor dX)
    {
        bool wantsGain = sink.Wants(gain);
        if (bias is null)
        {
            Tensor product = wantsGain ? dY : default; // dY ∘ x̂ in place
            pass.Backend.RmsNormBackward(dY, x, gain.Value, _statistics, dX, product);
            if (wantsGain)
                sink.Vector(gain, product, pass.Offsets);

            return;
        }

        if (sink.Wants(bias))
            sink.Vector(bias, dY, pass.Offsets);

        ArenaMark mark = pass.Arena.Mark();
        Tensor gainProduct = wantsGain ? pass.Take(x.Columns) : default; // [T, C] dY ∘ x̂
        pass.Backend.LayerNormBackward(dY, x, gain.Value, _statistics, dX, gainProduct);
        if (wantsGain)
            sink.Vector(gain, gainProduct, pass.Offsets);

        pass.Arena.Release(mark);
    }
}
