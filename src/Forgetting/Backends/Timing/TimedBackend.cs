using System.Runtime.InteropServices;
using Forgetting.Tensors;

namespace Forgetting.Backends.Timing;

/// <summary>
/// Another backend with a stopwatch on every operation, which also counts its work; products are told apart by shape. Times are those of
/// a backend that is synchronous.
/// </summary>
internal sealed partial class TimedBackend(IBackend inner) : IBackend
{
    private readonly Dictionary<Work, OperationTime> _times = [];
    private readonly List<(nint At, int[] Values)> _uploaded = [];

    /// <inheritdoc/>
    public string Name => inner.Name;

    /// <inheritdoc/>
    public DType StorageType => inner.StorageType;

    /// <inheritdoc/>
    public MemoryUse Use => inner.Use;

    /// <inheritdoc/>
    public long TotalBytes => inner.TotalBytes;

    /// <summary>Since the last <see cref="Clear"/>.</summary>
    public IEnumerable<KeyValuePair<string, OperationTime>> Times => _times.Select(t => KeyValuePair.Create(t.Key.ToString(), t.Value));

    /// <summary>Forgets the times.</summary>
    public void Clear() => _times.Clear();

    /// <inheritdoc/>
    public DeviceBuffer Allocate(long bytes) => inner.Allocate(bytes);

    /// <inheritdoc/>
    public void Free(DeviceBuffer buffer) => inner.Free(buffer);

    /// <summary>Leaves the wrapped backend alone.</summary>
    public void Dispose()
    {
    }

    /// <inheritdoc/>
    public bool Records => inner.Records;

    /// <inheritdoc/>
    public void Repeat<TKey, TState>(TKey key, TState state, Action<TState> operations)
        where TKey : notnull => operations(state);

    /// <inheritdoc/>
    public void Synchronize() => inner.Synchronize();

    /// <inheritdoc/>
    public void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
        where T : unmanaged
    {
        if (typeof(T) == typeof(int))
        {
            _uploaded.RemoveAll(one => one.At == destination.Pointer);
            _uploaded.Add((destination.Pointer, MemoryMarshal.Cast<T, int>(source).ToArray()));
        }

        using var _ = Time([destination]);
        inner.Upload(source, destination);
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged
    {
        using var _ = Time([source]);
        inner.Download(source, destination);
    }

    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination)
    {
        using var _ = Time([source, destination]);
        inner.Copy(source, destination);
    }

    /// <inheritdoc/>
    public void Fill(Tensor destination, float value)
    {
        using var _ = Time([destination]);
        inner.Fill(destination, value);
    }

    /// <inheritdoc/>
    public void Gemm(ColumnView a, bool transposeA, ColumnView b, bool transposeB, ColumnView c, float alpha = 1, float beta = 0)
    {
        using var _ = Time(
            new Work(nameof(Gemm), c.Rows, transposeA ? a.Rows : a.Columns, c.Columns, transposeA, transposeB, beta != 0),
            Bytes(beta == 0 ? [a, b, c] : [a, b, c, c]));
        inner.Gemm(a, transposeA, b, transposeB, c, alpha, beta);
    }

    /// <inheritdoc/>
    public void DeclareWeight(Tensor weight) => inner.DeclareWeight(weight);

    /// <inheritdoc/>
    public void AddBias(ColumnView y, Tensor bias)
    {
        using var _ = Time([y, y, bias]);
        inner.AddBias(y, bias);
    }

    /// <inheritdoc/>
    public void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, float scale, Tensor factors)
    {
        using var _ = Time([squares, magnitude, b, cross, gram, factors]);
        inner.MagnitudeFactors(squares, magnitude, b, cross, gram, scale, factors);
    }

    /// <inheritdoc/>
    public void Magnitude(ColumnView y, Tensor factors, Tensor unit)
    {
        using var _ = Time([y, y, factors, unit]);
        inner.Magnitude(y, factors, unit);
    }

    /// <inheritdoc/>
    public void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV)
    {
        using var _ = Time([dY, factors, unit, unit, dV]);
        inner.MagnitudeBackward(dY, factors, unit, dV);
    }

    /// <inheritdoc/>
    public void GatherRows(Tensor table, Tensor rows, Tensor y)
    {
        using var _ = Time([y, y, rows]);
        inner.GatherRows(table, rows, y);
    }

    /// <inheritdoc/>
    public void ScatterRows(ColumnView x, Tensor rows, Tensor y)
    {
        using var _ = Time([x, x, rows]);
        inner.ScatterRows(x, rows, y);
    }

    /// <inheritdoc/>
    public void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
        using var _ = Time(bytes: 2L * source.Rows * count * source.DType.Size());
        inner.CopyColumns(source, sourceColumn, destination, destinationColumn, count);
    }

    /// <inheritdoc/>
    public void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse)
    {
        using var _ = Time([x, x]);
        inner.Rope(x, positions, cosine, sine, headSize, inverse);
    }

    /// <inheritdoc/>
    public void Attention(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        using var _ = Time(
            new Work(nameof(Attention)), Bytes([q, k, v, o, logSumExp]), Pairs(offsets) * 4 * shape.Heads * shape.HeadSize);
        inner.Attention(shape, q, k, v, offsets, o, logSumExp);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV)
    {
        using var _ = Time(
            new Work(nameof(AttentionBackward)), Bytes([q, k, v, o, logSumExp, dO, dQ, dK, dV]),
            Pairs(offsets) * 10 * shape.Heads * shape.HeadSize);
        inner.AttentionBackward(shape, q, k, v, offsets, o, logSumExp, dO, delta, dQ, dK, dV);
    }

    /// <inheritdoc/>
    public void AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        using var _ = Time([q, keys, values, o]);
        inner.AttentionWithCache(shape, q, offsets, keys, values, starts, lengths, o);
    }

    /// <inheritdoc/>
    public void SegmentMean(Tensor x, Tensor offsets, Tensor y)
    {
        using var _ = Time([x, offsets, y]);
        inner.SegmentMean(x, offsets, y);
    }

    /// <inheritdoc/>
    public void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX)
    {
        using var _ = Time([dY, offsets, dX]);
        inner.SegmentMeanBackward(dY, offsets, dX);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
        using var _ = Time(residual.IsEmpty ? [x, y] : [x, x, residual, y]);
        inner.RmsNorm(x, residual, gain, offset, epsilon, y, rstd);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        using var _ = Time([dY, x, gain, rstd, dX, dX, gainProduct]);
        inner.RmsNormBackward(dY, x, gain, offset, rstd, dX, gainProduct);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
        using var _ = Time(residual.IsEmpty ? [x, y] : [x, x, residual, y]);
        inner.LayerNorm(x, residual, gain, bias, epsilon, y, statistics);
    }

    /// <inheritdoc/>
    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        using var _ = Time([dY, x, gain, statistics, dX, dX, gainProduct]);
        inner.LayerNormBackward(dY, x, gain, statistics, dX, gainProduct);
    }

    /// <inheritdoc/>
    public void SwiGlu(ColumnView gate, ColumnView up, Tensor y)
    {
        using var _ = Time([gate, up, y]);
        inner.SwiGlu(gate, up, y);
    }

    /// <inheritdoc/>
    public void SwiGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        using var _ = Time([gate, up, dY, dGate, dUp]);
        inner.SwiGluBackward(gate, up, dY, dGate, dUp);
    }

    /// <inheritdoc/>
    public void GeGlu(ColumnView gate, ColumnView up, Tensor y)
    {
        using var _ = Time([gate, up, y]);
        inner.GeGlu(gate, up, y);
    }

    /// <inheritdoc/>
    public void GeGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
        using var _ = Time([gate, up, dY, dGate, dUp]);
        inner.GeGluBackward(gate, up, dY, dGate, dUp);
    }

    /// <inheritdoc/>
    public void SoftCap(Tensor x, Tensor y, float cap)
    {
        using var _ = Time([x, y]);
        inner.SoftCap(x, y, cap);
    }

    /// <inheritdoc/>
    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
        using var _ = Time([x, dY, dX]);
        inner.SoftCapBackward(x, dY, dX, cap);
    }

    /// <inheritdoc/>
    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
        using var _ = Time([x, y]);
        inner.Gelu(x, y, tanh);
    }

    /// <inheritdoc/>
    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
        using var _ = Time([x, dY, dX]);
        inner.GeluBackward(x, dY, dX, tanh);
    }

    /// <inheritdoc/>
    public void Axpy(float alpha, Tensor x, Tensor y)
    {
        using var _ = Time([x, y, y]);
        inner.Axpy(alpha, x, y);
    }

    /// <inheritdoc/>
    public void Scale(Tensor x, float alpha)
    {
        using var _ = Time([x, x]);
        inner.Scale(x, alpha);
    }

    /// <inheritdoc/>
    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        using var _ = Time([a, b, y]);
        inner.Multiply(a, b, y);
    }

    /// <inheritdoc/>
    public void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low)
    {
        using var _ = Time([x, a, low]);
        inner.LoraDown(x, mask, a, scale, low);
    }

    /// <inheritdoc/>
    public void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
        using var _ = Time([dLow, x, gradient, gradient]);
        inner.LoraDownGradient(dLow, x, mask, gradient);
    }

    /// <inheritdoc/>
    public void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX)
    {
        using var _ = Time([dLow, a, dX, dX]);
        inner.LoraDownInput(dLow, a, mask, dX);
    }

    /// <inheritdoc/>
    public void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
        using var _ = Time(weights.IsEmpty ? [logits, losses] : [logits, logits, logits, losses]);
        inner.SignedLoss(logits, targets, weights, baseLogProbability, ascent, losses, greedy);
    }

    /// <inheritdoc/>
    public void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
        using var _ = Time([logits, logits, logits, baseLogits, baseLogits, divergences]);
        inner.KlDivergence(logits, baseLogits, weights, divergences);
    }

    /// <inheritdoc/>
    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
        using var _ = Time([logits, uniforms, ids]);
        inner.Sample(logits, temperature, topK, topP, uniforms, ids);
    }

    /// <inheritdoc/>
    public void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum)
    {
        using var _ = Time([x, dY, sum, sum]);
        inner.SquareAccumulateMatrix(x, dY, offsets, sum);
    }

    /// <inheritdoc/>
    public void ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time([x, dY, offsets, a, b, result]);
        inner.ProjectMatrix(x, dY, offsets, a, b, result);
    }

    /// <inheritdoc/>
    public void AccumulateColumns(ColumnView dY, Tensor gradient)
    {
        using var _ = Time([dY, gradient, gradient]);
        inner.AccumulateColumns(dY, gradient);
    }

    /// <inheritdoc/>
    public void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum)
    {
        using var _ = Time([dY, sum, sum]);
        inner.SquareAccumulateColumns(dY, offsets, sum);
    }

    /// <inheritdoc/>
    public void ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time([dY, offsets, a, b, result]);
        inner.ProjectColumns(dY, offsets, a, b, result);
    }

    /// <inheritdoc/>
    public void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default)
    {
        using var _ = Time([dY, dY, dY, dY, dY, rows]); // rows of the gradient, in Float32, are read and written
        inner.AccumulateRows(rows, dY, gradient, rounding);
    }

    /// <inheritdoc/>
    public void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
        using var _ = Time([dY, dY, rows]);
        inner.SquareAccumulateRows(rows, dY, offsets, head, sum);
    }

    /// <inheritdoc/>
    public void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time([dY, dY, dY, rows]);
        inner.ProjectRows(rows, dY, offsets, head, a, b, result);
    }

    /// <inheritdoc/>
    public void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
        using var _ = Time([dLogits, x, headOffsets, rows, offsets, y]);
        inner.HeadRows(dLogits, x, headOffsets, rows, offsets, y);
    }
}
