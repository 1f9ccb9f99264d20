using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// y = x·Wᵀ + s·(drop(x)·Aᵀ)·Bᵀ + b, the low-rank part only where the layer is adapted (arXiv 2106.09685, eq. 3). With magnitudes what
/// stands before b is multiplied by m / ‖W + s·B·A‖, whose norm is a constant for gradients (arXiv 2402.09353, section 4.3).
/// </summary>
internal sealed class Linear(Parameter weight, Parameter? bias, LoraAdapter? adapter)
{
    private ColumnView _low; // [T, r] s·drop(x)·Aᵀ, kept for B's gradient
    private Tensor _factors; // Float32 [2, out] 1 / ‖V‖ and m / ‖V‖ where the weight is a direction and magnitudes
    private Tensor _unit; // [T, out] x·Vᵀ / ‖V‖, kept for m's gradient

    public Parameter Weight => weight;

    public Parameter? Bias => bias;

    /// <summary>The adapter that is computed: null where there is none or it is part of the weight.</summary>
    public LoraAdapter? ActiveAdapter => adapter is { IsMerged: false } ? adapter : null;

    private LoraAdapter? Turned => ActiveAdapter is { Magnitude: not null } lora ? lora : null;

    /// <param name="x">[T, in].</param>
    /// <param name="y">[T, out], overwritten, or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, ColumnView y)
    {
        if (y.IsEmpty && Turned is not null)
            y = pass.Take(weight.Shape.Rows); // m's gradient wants it

        ForwardBase(pass, x, y);
        ForwardDown(pass, x);
        ForwardUp(pass, y);
        ForwardEnd(pass, y);
    }

    /// <summary>Hands the gradients of W, b, A and B to the sink and computes the input's.</summary>
    /// <param name="x">[T, in], as in the forward.</param>
    /// <param name="dY">[T, out].</param>
    /// <param name="dX">[T, in], or default where nobody needs it.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, ColumnView dY, Tensor dX)
    {
        ArenaMark mark = pass.Arena.Mark();
        BackwardBias(pass, sink, dY);
        ColumnView dV = Turned is null ? dY : pass.Take(weight.Shape.Rows); // [T, out]
        BackwardMagnitude(pass, sink, dY, dV);
        BackwardBase(pass, sink, x, dV, dX);
        BackwardAdapter(pass, sink, x, dV, dX);
        pass.Arena.Release(mark);
    }

    /// <summary>y = x·Wᵀ.</summary>
    public void ForwardBase(Pass pass, Tensor x, ColumnView y)
    {
        if (!y.IsEmpty)
            pass.Backend.Gemm(x, false, weight.Value, true, y);
    }

    /// <summary>Multiplies y by what the magnitudes say, and adds the bias.</summary>
    public void ForwardEnd(Pass pass, ColumnView y)
    {
        ForwardMagnitude(pass, y);
        if (!y.IsEmpty && bias is not null)
            pass.Backend.AddBias(y, bias.Value);
    }

    /// <summary>Multiplies y = x·Vᵀ by what the magnitudes say, where there are some.</summary>
    public void ForwardMagnitude(Pass pass, ColumnView y)
    {
        if (Turned is not { } lora)
            return;

        _unit = pass.Cache is null ? pass.Take(weight.Shape.Rows) : default;
        _factors = pass.Arena.Take(2, weight.Shape.Rows);
        ArenaMark mark = pass.Arena.Mark();
        lora.GetFactors(
            pass.Backend, _factors, pass.Arena.Take(lora.Rank + 1, weight.Shape.Rows), pass.Arena.Take(lora.Rank, lora.Rank));
        pass.Arena.Release(mark);
        pass.Backend.Magnitude(y, _factors, _unit);
    }

    /// <summary>Gradient of b.</summary>
    public void BackwardBias(Pass pass, IGradientSink sink, ColumnView dY)
    {
        if (bias is not null && sink.Wants(bias))
            sink.Vector(bias, dY, pass.Offsets);
    }

    /// <summary>Gradient of m, and the one at x·Vᵀ; does nothing without magnitudes.</summary>
    /// <param name="dV">[T, out], overwritten; may be <paramref name="dY"/>.</param>
    public void BackwardMagnitude(Pass pass, IGradientSink sink, ColumnView dY, ColumnView dV)
    {
        if (Turned is not { } lora)
            return;

        pass.Backend.MagnitudeBackward(dY, _factors, _unit, dV);
        if (sink.Wants(lora.Magnitude!))
            sink.Vector(lora.Magnitude!, _unit, pass.Offsets);
    }

    /// <summary>Computes s·drop(x)·Aᵀ where the layer is adapted.</summary>
    public void ForwardDown(Pass pass, Tensor x)
    {
        if (ActiveAdapter is not { } lora)
            return;

        Tensor low = pass.Take(lora.Rank); // [T, r]
        if (lora.Mask(pass) is { } mask)
        {
            pass.Backend.LoraDown(x, mask, lora.A.Value, lora.Scale, low);
        }
        else
        {
            pass.Backend.Gemm(x, false, lora.A.Value, true, low, alpha: lora.Scale);
        }

        _low = low;
    }

    /// <summary>Says that <see cref="ForwardDown"/> was computed elsewhere.</summary>
    /// <param name="low">[T, r] s·x·Aᵀ.</param>
    public void TakeDown(ColumnView low) => _low = low;

    /// <summary>Adds what the adapter adds to y.</summary>
    public void ForwardUp(Pass pass, ColumnView y)
    {
        if (!y.IsEmpty && ActiveAdapter is { } lora)
            pass.Backend.Gemm(_low, false, lora.B.Value, true, y, beta: 1);
    }

    /// <summary>Gradients of W and the input as if there were no adapter.</summary>
    /// <param name="add">Add to <paramref name="dX"/> instead of overwriting it: several layers share an input.</param>
    public void BackwardBase(Pass pass, IGradientSink sink, Tensor x, ColumnView dY, Tensor dX, bool add = false)
    {
        if (sink.Wants(weight))
            sink.Matrix(weight, x, dY, pass.Offsets);

        if (!dX.IsEmpty)
            pass.Backend.Gemm(dY, false, weight.Value, false, dX, beta: add ? 1 : 0);
    }

    /// <summary>Gradients of A and B; adds to that of the input.</summary>
    public void BackwardAdapter(Pass pass, IGradientSink sink, Tensor x, ColumnView dY, Tensor dX)
    {
        if (ActiveAdapter is not { } lora)
            return;

        ArenaMark mark = pass.Arena.Mark();
        Tensor dLow = pass.Take(lora.Rank); // [T, r]
        BackwardUp(pass, sink, dY, dLow);
        if (lora.Mask(pass) is { } dropout)
        {
            if (sink.Wants(lora.A))
                sink.DroppedMatrix(lora.A, x, dropout, dLow);

            if (!dX.IsEmpty)
                pass.Backend.LoraDownInput(dLow, lora.A.Value, dropout, dX);
        }
        else
        {
            if (sink.Wants(lora.A))
                sink.Matrix(lora.A, x, dLow, pass.Offsets);

            if (!dX.IsEmpty)
                pass.Backend.Gemm(dLow, false, lora.A.Value, false, dX, beta: 1);
        }

        pass.Arena.Release(mark);
    }

    /// <summary>Gradient of B, and the one at drop(x)·Aᵀ.</summary>
    /// <param name="dLow">[T, r], overwritten.</param>
    public void BackwardUp(Pass pass, IGradientSink sink, ColumnView dY, ColumnView dLow)
    {
        if (ActiveAdapter is not { } lora)
            return;

        if (sink.Wants(lora.B))
            sink.Matrix(lora.B, _low, dY, pass.Offsets);

        pass.Backend.Gemm(dY, false, lora.B.Value, false, dLow, alpha: lora.Scale);
    }
}
