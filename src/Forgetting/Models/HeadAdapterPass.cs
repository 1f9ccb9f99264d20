using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>
/// The low-rank part of the head in one pass: s·drop(hidden)·Aᵀ is computed for all rows of the batch, since dropout's mask is a function
/// of their places, and the head's chunks take theirs. A head without an adapter has the default value, which does nothing.
/// </summary>
internal readonly struct HeadAdapterPass
{
    private readonly LoraAdapter? _lora;
    private readonly Tensor _low; // [R, r] s·drop(x)·Aᵀ of the head rows
    private readonly Tensor _dLow; // [R, r] gradient at drop(x)·Aᵀ

    private HeadAdapterPass(LoraAdapter lora, Tensor low, Tensor dLow) => (_lora, _low, _dLow) = (lora, low, dLow);

    /// <param name="rows">Int32 [1, R]: rows with logits.</param>
    /// <param name="hidden">[T, C].</param>
    public static HeadAdapterPass Forward(LoraAdapter lora, Pass pass, Tensor rows, Tensor hidden)
    {
        IBackend backend = pass.Backend;
        Tensor low = pass.Arena.Take((int)rows.Count, lora.Rank, hidden.DType); // [R, r]
        Tensor dLow = pass.Arena.Take((int)rows.Count, lora.Rank, hidden.DType); // [R, r]
        ArenaMark mark = pass.Arena.Mark();
        Tensor all = pass.Take(lora.Rank); // [T, r]
        if (lora.Mask(pass) is { } mask)
        {
            backend.LoraDown(hidden, mask, lora.A.Value, lora.Scale, all);
        }
        else
        {
            backend.Gemm(hidden, false, lora.A.Value, true, all, alpha: lora.Scale);
        }

        backend.GatherRows(all, rows, low);
        pass.Arena.Release(mark);
        return new(lora, low, dLow);
    }

    /// <param name="logits">[r, V] of the head rows from <paramref name="first"/> on.</param>
    public void AddTo(IBackend backend, Tensor logits, int first)
    {
        if (_lora is not null)
            backend.Gemm(_low.RowRange(first, logits.Rows), false, _lora.B.Value, true, logits, beta: 1);
    }

    /// <summary>B's gradient to the sink.</summary>
    /// <param name="dLogits">[r, V] gradient at the logits of the head rows from <paramref name="first"/> on.</param>
    /// <param name="offsets">Documents of these rows, where the sink keeps them apart.</param>
    public void ChunkBackward(IBackend backend, IGradientSink sink, Tensor dLogits, int first, Tensor offsets)
    {
        if (_lora is null)
            return;

        if (sink.Wants(_lora.B))
            sink.Matrix(_lora.B, _low.RowRange(first, dLogits.Rows), dLogits, offsets);

        backend.Gemm(dLogits, false, _lora.B.Value, false, _dLow.RowRange(first, dLogits.Rows), alpha: _lora.Scale);
    }

    /// <summary>A's gradient to the sink, and the hidden states' part of it.</summary>
    /// <param name="hidden">[T, C].</param>
    /// <param name="dHidden">[T, C], added to.</param>
    public void Backward(Pass pass, IGradientSink sink, Tensor rows, Tensor hidden, Tensor dHidden)
    {
        if (_lora is null)
            return;

        IBackend backend = pass.Backend;
        ArenaMark mark = pass.Arena.Mark();
        Tensor all = pass.Take(_lora.Rank); // [T, r], zero in rows without logits
        backend.Fill(all, 0);
        backend.ScatterRows(_dLow, rows, all);
        if (_lora.Mask(pass) is { } mask)
        {
            if (sink.Wants(_lora.A))
                sink.DroppedMatrix(_lora.A, hidden, mask, all);

            backend.LoraDownInput(all, _lora.A.Value, mask, dHidden);
        }
        else
        {
            if (sink.Wants(_lora.A))
                sink.Matrix(_lora.A, hidden, all, pass.Offsets);

            backend.Gemm(all, false, _lora.A.Value, false, dHidden, beta: 1);
        }

        pass.Arena.Release(mark);
    }
}
