using System.Diagnostics;
using System.Runtime.CompilerServices;
using Forgetting.Backends;
using Forgetting.Tensors;

namespace Forgetting.Benchmarks;

/// <summary>What the calls of one operation took together.</summary>
/// <param name="Ticks">Of <see cref="Stopwatch"/>.</param>
/// <param name="Operations">Floating-point operations, counted for products and attention only.</param>
internal readonly record struct OperationTime(int Calls, long Ticks, double Operations);

/// <summary>
/// Another backend with a stopwatch on every operation; products are told apart by shape. The other must be synchronous and in host memory.
/// </summary>
internal sealed class TimedBackend(IBackend inner) : IBackend
{
    private readonly Dictionary<Work, OperationTime> _times = [];

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
        using var _ = Time();
        inner.Upload(source, destination);
    }

    /// <inheritdoc/>
    public void Download<T>(Tensor source, Span<T> destination)
        where T : unmanaged
    {
        using var _ = Time();
        inner.Download(source, destination);
    }

    /// <inheritdoc/>
    public void Copy(Tensor source, Tensor destination)
    {
        using var _ = Time();
        inner.Copy(source, destination);
    }

    /// <inheritdoc/>
    public void Fill(Tensor destination, float value)
    {
        using var _ = Time();
        inner.Fill(destination, value);
    }

    /// <inheritdoc/>
    public void Gemm(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, float alpha = 1, float beta = 0)
    {
        using var _ = Time(new Work(nameof(Gemm), c.Rows, transposeA ? a.Rows : a.Columns, c.Columns, transposeA, transposeB, beta != 0));
        inner.Gemm(a, transposeA, b, transposeB, c, alpha, beta);
    }

    /// <inheritdoc/>
    public void DeclareWeight(Tensor weight) => inner.DeclareWeight(weight);

    /// <inheritdoc/>
    public void AddBias(Tensor y, Tensor bias)
    {
        using var _ = Time();
        inner.AddBias(y, bias);
    }

    /// <inheritdoc/>
    public void GatherRows(Tensor table, Tensor rows, Tensor y)
    {
        using var _ = Time();
        inner.GatherRows(table, rows, y);
    }

    /// <inheritdoc/>
    public void ScatterRows(Tensor x, Tensor rows, Tensor y)
    {
        using var _ = Time();
        inner.ScatterRows(x, rows, y);
    }

    /// <inheritdoc/>
    public void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
        using var _ = Time();
        inner.CopyColumns(source, sourceColumn, destination, destinationColumn, count);
    }

    /// <inheritdoc/>
    public void Rope(Tensor x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse)
    {
        using var _ = Time();
        inner.Rope(x, positions, cosine, sine, headSize, inverse);
    }

    /// <inheritdoc/>
    public void Attention(AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
        using var _ = Time(new Work(nameof(Attention)), Pairs(offsets) * 4 * shape.Heads * shape.HeadSize);
        inner.Attention(shape, q, k, v, offsets, o, logSumExp);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO, Tensor delta,
        Tensor dQ, Tensor dK, Tensor dV)
    {
        using var _ = Time(new Work(nameof(AttentionBackward)), Pairs(offsets) * 10 * shape.Heads * shape.HeadSize);
        inner.AttentionBackward(shape, q, k, v, offsets, o, logSumExp, dO, delta, dQ, dK, dV);
    }

    /// <inheritdoc/>
    public void AttentionWithCache(
        AttentionShape shape, Tensor q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
        using var _ = Time();
        inner.AttentionWithCache(shape, q, offsets, keys, values, starts, lengths, o);
    }

    /// <inheritdoc/>
    public void SegmentMean(Tensor x, Tensor offsets, Tensor y)
    {
        using var _ = Time();
        inner.SegmentMean(x, offsets, y);
    }

    /// <inheritdoc/>
    public void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX)
    {
        using var _ = Time();
        inner.SegmentMeanBackward(dY, offsets, dX);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
        using var _ = Time();
        inner.RmsNorm(x, residual, gain, offset, epsilon, y, rstd);
    }

    /// <inheritdoc/>
    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
        using var _ = Time();
        inner.RmsNormBackward(dY, x, gain, offset, rstd, dX, gainProduct);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
        using var _ = Time();
        inner.LayerNorm(x, residual, gain, bias, epsilon, y, statistics);
    }

    /// <inheritdoc/>
    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
        using var _ = Time();
        inner.LayerNormBackward(dY, x, gain, statistics, dX, gainProduct);
    }

    /// <inheritdoc/>
    public void SwiGlu(Tensor gate, Tensor up, Tensor y)
    {
        using var _ = Time();
        inner.SwiGlu(gate, up, y);
    }

    /// <inheritdoc/>
    public void SwiGluBackward(Tensor gate, Tensor up, Tensor dY, Tensor dGate, Tensor dUp)
    {
        using var _ = Time();
        inner.SwiGluBackward(gate, up, dY, dGate, dUp);
    }

    /// <inheritdoc/>
    public void GeGlu(Tensor gate, Tensor up, Tensor y)
    {
        using var _ = Time();
        inner.GeGlu(gate, up, y);
    }

    /// <inheritdoc/>
    public void GeGluBackward(Tensor gate, Tensor up, Tensor dY, Tensor dGate, Tensor dUp)
    {
        using var _ = Time();
        inner.GeGluBackward(gate, up, dY, dGate, dUp);
    }

    /// <inheritdoc/>
    public void SoftCap(Tensor x, Tensor y, float cap)
    {
        using var _ = Time();
        inner.SoftCap(x, y, cap);
    }

    /// <inheritdoc/>
    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
        using var _ = Time();
        inner.SoftCapBackward(x, dY, dX, cap);
    }

    /// <inheritdoc/>
    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
        using var _ = Time();
        inner.Gelu(x, y, tanh);
    }

    /// <inheritdoc/>
    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
        using var _ = Time();
        inner.GeluBackward(x, dY, dX, tanh);
    }

    /// <inheritdoc/>
    public void Axpy(float alpha, Tensor x, Tensor y)
    {
        using var _ = Time();
        inner.Axpy(alpha, x, y);
    }

    /// <inheritdoc/>
    public void Scale(Tensor x, float alpha)
    {
        using var _ = Time();
        inner.Scale(x, alpha);
    }

    /// <inheritdoc/>
    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        using var _ = Time();
        inner.Multiply(a, b, y);
    }

    /// <inheritdoc/>
    public void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low)
    {
        using var _ = Time();
        inner.LoraDown(x, mask, a, scale, low);
    }

    /// <inheritdoc/>
    public void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
        using var _ = Time();
        inner.LoraDownGradient(dLow, x, mask, gradient);
    }

    /// <inheritdoc/>
    public void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX)
    {
        using var _ = Time();
        inner.LoraDownInput(dLow, a, mask, dX);
    }

    /// <inheritdoc/>
    public void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
        using var _ = Time();
        inner.SignedLoss(logits, targets, weights, baseLogProbability, ascent, losses, greedy);
    }

    /// <inheritdoc/>
    public void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
        using var _ = Time();
        inner.KlDivergence(logits, baseLogits, weights, divergences);
    }

    /// <inheritdoc/>
    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
        using var _ = Time();
        inner.Sample(logits, temperature, topK, topP, uniforms, ids);
    }

    /// <inheritdoc/>
    public void SquareAccumulateMatrix(Tensor x, Tensor dY, Tensor offsets, Tensor sum)
    {
        using var _ = Time();
        inner.SquareAccumulateMatrix(x, dY, offsets, sum);
    }

    /// <inheritdoc/>
    public void ProjectMatrix(Tensor x, Tensor dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time();
        inner.ProjectMatrix(x, dY, offsets, a, b, result);
    }

    /// <inheritdoc/>
    public void AccumulateColumns(Tensor dY, Tensor gradient)
    {
        using var _ = Time();
        inner.AccumulateColumns(dY, gradient);
    }

    /// <inheritdoc/>
    public void SquareAccumulateColumns(Tensor dY, Tensor offsets, Tensor sum)
    {
        using var _ = Time();
        inner.SquareAccumulateColumns(dY, offsets, sum);
    }

    /// <inheritdoc/>
    public void ProjectColumns(Tensor dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time();
        inner.ProjectColumns(dY, offsets, a, b, result);
    }

    /// <inheritdoc/>
    public void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient)
    {
        using var _ = Time();
        inner.AccumulateRows(rows, dY, gradient);
    }

    /// <inheritdoc/>
    public void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
        using var _ = Time();
        inner.SquareAccumulateRows(rows, dY, offsets, head, sum);
    }

    /// <inheritdoc/>
    public void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
        using var _ = Time();
        inner.ProjectRows(rows, dY, offsets, head, a, b, result);
    }

    /// <inheritdoc/>
    public void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
        using var _ = Time();
        inner.HeadRows(dLogits, x, headOffsets, rows, offsets, y);
    }

    /// <inheritdoc/>
    public void SumOfSquares(Tensor x, Tensor result, int index)
    {
        using var _ = Time();
        inner.SumOfSquares(x, result, index);
    }

    /// <inheritdoc/>
    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
        using var _ = Time();
        inner.Dot(a, b, result, index);
    }

    /// <inheritdoc/>
    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers)
    {
        using var _ = Time();
        inner.AdamW(master, value, gradient, m, v, settings, numbers);
    }

    private static double Pairs(Tensor offsets)
    {
        Span<int> rows = offsets.AsSpan<int>();
        double pairs = 0;
        for (int s = 0; s + 1 < rows.Length; s++)
        {
            double length = rows[s + 1] - rows[s];
            pairs += length * (length + 1) / 2;
        }

        return pairs;
    }

    private Scope Time([CallerMemberName] string name = "") => Time(new Work(name));

    private Scope Time(Work work, double operations = 0) => new(_times, work, operations == 0 ? work.Operations : operations);

    private readonly record struct Work(
        string Name, int M = 0, int K = 0, int N = 0, bool TransposeA = false, bool TransposeB = false, bool Add = false)
    {
        public double Operations => 2.0 * M * K * N;

        public override string ToString() => M == 0
            ? Name
            : $"{Name} {M}x{K}x{N} {(TransposeA ? 'T' : 'N')}{(TransposeB ? 'T' : 'N')}{(Add ? " +=" : "")}";
    }

    private readonly struct Scope(Dictionary<Work, OperationTime> times, Work work, double operations) : IDisposable
    {
        private readonly long _start = Stopwatch.GetTimestamp();

        public void Dispose()
        {
            long ticks = Stopwatch.GetTimestamp() - _start;
            OperationTime before = times.GetValueOrDefault(work);
            times[work] = new OperationTime(before.Calls + 1, before.Ticks + ticks, before.Operations + operations);
        }
    }
}
