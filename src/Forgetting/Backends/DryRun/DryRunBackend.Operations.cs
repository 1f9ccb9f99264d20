using Forgetting.Tensors;

namespace Forgetting.Backends.DryRun;

// Operations have nothing to do where there is no memory; products may pack their weights.
internal sealed partial class DryRunBackend
{
    public void AddBias(ColumnView y, Tensor bias)
    {
    }

    public void MagnitudeFactors(Tensor squares, Tensor magnitude, Tensor b, Tensor cross, Tensor gram, float scale, Tensor factors)
    {
    }

    public void Magnitude(ColumnView y, Tensor factors, Tensor unit)
    {
    }

    public void MagnitudeBackward(ColumnView dY, Tensor factors, Tensor unit, ColumnView dV)
    {
    }

    public void GatherRows(Tensor table, Tensor rows, Tensor y)
    {
    }

    public void ScatterRows(ColumnView x, Tensor rows, Tensor y)
    {
    }

    public void CopyColumns(Tensor source, int sourceColumn, Tensor destination, int destinationColumn, int count)
    {
    }

    public void Rope(ColumnView x, Tensor positions, Tensor cosine, Tensor sine, int headSize, bool inverse)
    {
    }

    public void Attention(AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp)
    {
    }

    public void AttentionBackward(
        AttentionShape shape, ColumnView q, ColumnView k, ColumnView v, Tensor offsets, Tensor o, Tensor logSumExp, Tensor dO,
        Tensor delta, ColumnView dQ, ColumnView dK, ColumnView dV)
    {
    }

    public void AttentionWithCache(
        AttentionShape shape, ColumnView q, Tensor offsets, Tensor keys, Tensor values, Tensor starts, Tensor lengths, Tensor o)
    {
    }

    public void SegmentMean(Tensor x, Tensor offsets, Tensor y)
    {
    }

    public void SegmentMeanBackward(Tensor dY, Tensor offsets, Tensor dX)
    {
    }

    public void RmsNorm(Tensor x, Tensor residual, Tensor gain, float offset, float epsilon, Tensor y, Tensor rstd)
    {
    }

    public void RmsNormBackward(Tensor dY, Tensor x, Tensor gain, float offset, Tensor rstd, Tensor dX, Tensor gainProduct)
    {
    }

    public void LayerNorm(Tensor x, Tensor residual, Tensor gain, Tensor bias, float epsilon, Tensor y, Tensor statistics)
    {
    }

    public void LayerNormBackward(Tensor dY, Tensor x, Tensor gain, Tensor statistics, Tensor dX, Tensor gainProduct)
    {
    }

    public void SwiGlu(ColumnView gate, ColumnView up, Tensor y)
    {
    }

    public void SwiGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
    }

    public void GeGlu(ColumnView gate, ColumnView up, Tensor y)
    {
    }

    public void GeGluBackward(ColumnView gate, ColumnView up, Tensor dY, ColumnView dGate, ColumnView dUp)
    {
    }

    public void SoftCap(Tensor x, Tensor y, float cap)
    {
    }

    public void SoftCapBackward(Tensor x, Tensor dY, Tensor dX, float cap)
    {
    }

    public void Gelu(Tensor x, Tensor y, bool tanh)
    {
    }

    public void GeluBackward(Tensor x, Tensor dY, Tensor dX, bool tanh)
    {
    }

    public void Axpy(float alpha, Tensor x, Tensor y)
    {
    }

    public void Scale(Tensor x, float alpha)
    {
    }

    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
    }

    public void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
    }

    public void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
    }

    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
    }

    public void SquareAccumulateMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor sum)
    {
    }

    public void ProjectMatrix(ColumnView x, ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
    }

    public void AccumulateColumns(ColumnView dY, Tensor gradient)
    {
    }

    public void SquareAccumulateColumns(ColumnView dY, Tensor offsets, Tensor sum)
    {
    }

    public void ProjectColumns(ColumnView dY, Tensor offsets, Tensor a, Tensor b, Tensor result)
    {
    }

    public void AccumulateRows(Tensor rows, Tensor dY, Tensor gradient, Rounding rounding = default)
    {
    }

    public void SquareAccumulateRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor sum)
    {
    }

    public void ProjectRows(Tensor rows, Tensor dY, Tensor offsets, Tensor head, Tensor a, Tensor b, Tensor result)
    {
    }

    public void HeadRows(Tensor dLogits, Tensor x, Tensor headOffsets, Tensor rows, Tensor offsets, Tensor y)
    {
    }

    public void StochasticRound(Tensor x, Tensor y, bool add, Rounding rounding)
    {
    }

    public void SumOfSquares(Tensor x, Tensor result, int index)
    {
    }

    public void Dot(Tensor a, Tensor b, Tensor result, int index)
    {
    }

    public void AdamW(Tensor master, Tensor value, Tensor gradient, Tensor m, Tensor v, AdamWSettings settings, Tensor numbers)
    {
    }

    public void AdamW8Bit(
        Tensor master, Tensor value, Tensor gradient, BlockwiseTensor m, BlockwiseTensor v, Tensor maps, AdamWSettings settings,
        Tensor numbers)
    {
    }

    public void LoraDown(Tensor x, DropoutMask mask, Tensor a, float scale, Tensor low) => Gemm(x, false, a, true, low, scale);

    public void LoraDownGradient(Tensor dLow, Tensor x, DropoutMask mask, Tensor gradient)
    {
    }

    public void LoraDownInput(Tensor dLow, Tensor a, DropoutMask mask, Tensor dX) => Gemm(dLow, false, a, false, dX);
}
