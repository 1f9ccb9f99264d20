using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>The trainable low-rank part of a linear layer.</summary>
/// <param name="A">[r, in].</param>
/// <param name="B">[out, r].</param>
/// <param name="Scale">s.</param>
/// <param name="Dropout">Rate on the input of A.</param>
/// <param name="Stream">Number of the layer's place in the model, for its dropout mask.</param>
internal sealed record LoraAdapter(Parameter A, Parameter B, float Scale, float Dropout, int Stream);

/// <summary>y = x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ, the last part only where the layer is adapted (arXiv 2106.09685, eq. 3).</summary>
internal sealed class Linear(Parameter weight, Parameter? bias, LoraAdapter? adapter)
{
    private Tensor _low; // [T, r] s·drop(x)·Aᵀ, kept for B's gradient
    private bool _merged; // s·B·A is part of W, and the low-rank part is not computed

    public Parameter Weight => weight;

    public bool IsAdapted => adapter is not null;

    private LoraAdapter? ActiveAdapter => _merged ? null : adapter;

    /// <param name="x">[T, in].</param>
    /// <param name="y">[T, out], overwritten, or default where only what the backward reads is needed.</param>
    public void Forward(Pass pass, Tensor x, Tensor y)
    {
        IBackend backend = pass.Backend;
        if (!y.IsEmpty)
        {
            backend.Gemm(x, false, weight.Value, true, y);
            if (bias is not null)
            {
                backend.AddBias(y, bias.Value);
            }
        }

        if (ActiveAdapter is { } lora)
        {
            _low = pass.Take(lora.A.Shape.Rows); // [T, r]
            if (Mask(pass, lora) is { } mask)
            {
                backend.LoraDown(x, mask, lora.A.Value, lora.Scale, _low);
            }
            else
            {
                backend.Gemm(x, false, lora.A.Value, true, _low, alpha: lora.Scale);
            }

            if (!y.IsEmpty)
            {
                backend.Gemm(_low, false, lora.B.Value, true, y, beta: 1);
            }
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
        {
            sink.Matrix(weight, x, dY, pass.Offsets);
        }

        if (bias is not null && sink.Wants(bias))
        {
            sink.Vector(bias, dY, pass.Offsets);
        }

        if (!dX.IsEmpty)
        {
            backend.Gemm(dY, false, weight.Value, false, dX, beta: add ? 1 : 0);
        }

        if (ActiveAdapter is { } lora)
        {
            AdapterBackward(pass, sink, lora, x, dY, dX);
        }
    }

    /// <summary>Adds s·B·A to W, rounded once to storage type; the low-rank part is not computed from then on.</summary>
    public void Merge(IBackend backend)
    {
        if (ActiveAdapter is null)
        {
            return;
        }

        if (weight.Value.DType == DType.Float32)
        {
            AddUpdate(backend, weight.Value, 1);
        }
        else
        {
            using DeviceBuffer buffer = backend.Allocate(weight.Shape.Count * sizeof(float));
            Tensor sum = buffer.AsTensor(weight.Shape, DType.Float32); // [out, in]
            backend.Copy(weight.Value, sum);
            AddUpdate(backend, sum, 1);
            backend.Copy(sum, weight.Value);
        }

        _merged = true;
    }

    /// <summary>Adds <paramref name="factor"/>·s·B·A of an adapted layer to <paramref name="sum"/>.</summary>
    /// <param name="sum">Float32 [out, in].</param>
    public void AddUpdate(IBackend backend, Tensor sum, float factor) =>
        backend.Gemm(adapter!.B.Value, false, adapter.A.Value, false, sum, factor * adapter.Scale, beta: 1);

    private void AdapterBackward(Pass pass, IGradientSink sink, LoraAdapter lora, Tensor x, Tensor dY, Tensor dX)
    {
        IBackend backend = pass.Backend;
        if (sink.Wants(lora.B))
        {
            sink.Matrix(lora.B, _low, dY, pass.Offsets);
        }

        ArenaMark mark = pass.Arena.Mark();
        Tensor dLow = pass.Take(lora.A.Shape.Rows); // [T, r] gradient at drop(x)·Aᵀ
        backend.Gemm(dY, false, lora.B.Value, false, dLow, alpha: lora.Scale);
        if (Mask(pass, lora) is { } dropout)
        {
            if (sink.Wants(lora.A))
            {
                sink.DroppedMatrix(lora.A, x, dropout, dLow);
            }

            if (!dX.IsEmpty)
            {
                backend.LoraDownInput(dLow, lora.A.Value, dropout, dX);
            }
        }
        else
        {
            if (sink.Wants(lora.A))
            {
                sink.Matrix(lora.A, x, dLow, pass.Offsets);
            }

            if (!dX.IsEmpty)
            {
                backend.Gemm(dLow, false, lora.A.Value, false, dX, beta: 1);
            }
        }

        pass.Arena.Release(mark);
    }

    // The mask is a function of place, so the backward makes it again.
    private static DropoutMask? Mask(Pass pass, LoraAdapter lora) =>
        lora.Dropout > 0 && pass.Dropout ? pass.Mask(lora.Dropout, lora.Stream) : null;
}
