using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>y[t] = W[rows[t]] + s·A[rows[t]]·Bᵀ, the last part only where the table is adapted.</summary>
internal sealed class LookupTable(Parameter weight, LoraAdapter? adapter)
{
    private Tensor _low; // [T, r] s·A[rows], kept for B's gradient

    /// <summary>[V, C].</summary>
    public Parameter Weight => weight;

    private LoraAdapter? ActiveAdapter => adapter is { IsMerged: false } ? adapter : null;

    /// <summary>Whether the sink needs a gradient of this table.</summary>
    public bool Wanted(IGradientSink sink) =>
        sink.Wants(weight) || (ActiveAdapter is { } lora && (sink.Wants(lora.A) || sink.Wants(lora.B)));

    /// <param name="rows">Int32 [1, T].</param>
    /// <param name="y">[T, C], overwritten.</param>
    public void Forward(Pass pass, Tensor rows, Tensor y)
    {
        IBackend backend = pass.Backend;
        backend.GatherRows(weight.Value, rows, y);
        if (ActiveAdapter is { } lora)
        {
            _low = pass.Take(lora.Rank); // [T, r]
            backend.GatherRows(lora.A.Value, rows, _low);
            backend.Scale(_low, lora.Scale);
            backend.Gemm(_low, false, lora.B.Value, true, y, beta: 1);
        }
    }

    /// <param name="rows">Int32 [1, T], as in the forward.</param>
    /// <param name="dY">[T, C].</param>
    /// <param name="head">See <see cref="EmbeddingLayer.Backward"/>.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor rows, Tensor dY, Tensor head)
    {
        if (sink.Wants(weight))
            sink.Rows(weight, rows, dY, pass.Offsets, head);

        if (ActiveAdapter is not { } lora)
            return;

        if (sink.Wants(lora.B))
            sink.Matrix(lora.B, _low, dY, pass.Offsets);

        if (sink.Wants(lora.A))
        {
            ArenaMark mark = pass.Arena.Mark();
            Tensor dLow = pass.Take(lora.Rank); // [T, r] gradient at A[rows]
            pass.Backend.Gemm(dY, false, lora.B.Value, false, dLow, alpha: lora.Scale);
            sink.Rows(lora.A, rows, dLow, pass.Offsets, default);
            pass.Arena.Release(mark);
        }
    }
}
