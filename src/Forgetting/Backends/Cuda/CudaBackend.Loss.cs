using Forgetting.Backends.Contracts;
using Forgetting.Tensors;

namespace Forgetting.Backends.Cuda;

internal sealed unsafe partial class CudaBackend
{
    /// <inheritdoc/>
    public void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
        Contract.SignedLoss(logits, targets, weights, baseLogProbability, ascent, losses, greedy);
        LaunchRows(
            "signed_loss", Suffix(logits.DType), logits.Rows, Blocks(logits.Columns, Wide(logits.DType)),
            logits, targets, weights, baseLogProbability, (int)ascent.Kind, ascent.Beta, ascent.Beta2, ascent.LearningPower, losses, greedy,
            logits.Columns);
    }

    /// <inheritdoc/>
    public void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
        Contract.KlDivergence(logits, baseLogits, weights, divergences);
        LaunchRows(
            "kl_divergence", Suffix(logits.DType), logits.Rows, Blocks(logits.Columns, Wide(logits.DType)),
            logits, baseLogits, weights, divergences, logits.Columns);
    }

    /// <inheritdoc/>
    public void Sample(Tensor logits, float temperature, int topK, float topP, Tensor uniforms, Tensor ids)
    {
        Contract.Sample(logits, uniforms, ids);
        if (logits.Rows > 0)
        {
            _device.Launch(
                "sample", Suffix(logits.DType), new(logits.Rows), BlockThreads, 0, logits, temperature, topK, topP, uniforms, ids,
                logits.Columns);
        }
    }
}
