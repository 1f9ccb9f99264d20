using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>y = x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ, the last part only where the layer is adapted (arXiv 2106.09685, eq. 3).</summary>
internal sealed class Linear(Parameter weight, Parameter? bias, LoraAdapter? adapter)
{
    private Tensor _low; // [T, r] s·drop(x)·Aᵀ, kept for B's gradient

    public Parameter Weight => weight;

    private LoraAdapter? ActiveAdapter => adapter is { IsMerged: false } ? adapter : null;

    /// <param name="x">[T, in].</param>
    /// <param name="y">[T, out], overwritten, or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        IBackend backend = pass.Backend;
        if (!y.IsEmpty)
        {
            backend.Gemm(x, false, weight.Value, true, y);
            if (bias is not null)
                backend.AddBias(y, bias.Value);
        }

        if (ActiveAdapter is { } lora)
        {
            _low = pass.Take(lora.A.Shape.Rows); // [T, r]
            if (lora.Mask(pass) is { } mask)
            {
                backend.LoraDown(x, mask, lora.A.Value, lora.Scale, _low);
            }
            else
            {
                backend.Gemm(x, false, lora.A.Value, true, _low, alpha: lora.Scale);
            }

            if (!y.IsEmpty)
                backend.Gemm(_low, false, lora.B.Value, true, y, beta: 1);
        }
    }

    /// <summary>Hands the gradients of W, b, A and B to the sink and computes the input's.</summary>
    /// <param name="x">[T, in], as in the forward.</param>
    /// <param name="dY">[T, out].</param>
    /// <param name="dX">[T, in], or default where nobody needs it.</param>
    /// <param name="add">Add to <paramref name="dX"/> instead of overwriting it: several layers share an input.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor x, Tensor dY, Tensor dX, bool add = false)
    {
        IBackend backend = pass.Backend;
        if (sink.Wants(weight))
            sink.Matrix(weight, x, dY, pass.Offsets);

        if (bias is not null && sink.Wants(bias))
            sink.Vector(bias, dY, pass.Offsets);

        if (!dX.IsEmpty)
            backend.Gemm(dY, false, weight.Value, false, dX, beta: add ? 1 : 0);

        if (ActiveAdapter is { } lora)
            AdapterBackward(pass, sink, lora, x, dY, dX);
    }

    private void AdapterBackward(Pass pass, IGradientSink sink, LoraAdapter lora, Tensor x, Tensor dY, Tensor dX)
    {
        IBackend backend = pass.Backend;
        if (sink.Wants(lora.B))
            sink.Matrix(lora.B, _low, dY, pass.Offsets);

        ArenaMark mark = pass.Arena.Mark();
        Tensor dLow = pass.Take(lora.A.Shape.Rows); // [T, r] gradient at drop(x)·Aᵀ
        backend.Gemm(dY, false, lora.B.Value, false, dLow, alpha: lora.Scale);
        if (lora.Mask(pass) is { } dropout)
        {
            if (sink.Wants(lora.A))
                sink.DroppedMatrix(lora.A, x, dropout, dLow);

            if (!dX.IsEmpty)
                backend.LoraDownInput(dLow, lora.A.Value, dropout, dX);
        }
        else
        {
            if (sink.Wants(lora.A))
                sink.Matrix(lora.A, x, dLow, pass.Offsets);

            if (!dX.IsEmpty)
                backend.Gemm(dLow, false, lora.A.Value, false, dX, beta: 1);
        }

        pass.Arena.Release(mark);
    }
}
