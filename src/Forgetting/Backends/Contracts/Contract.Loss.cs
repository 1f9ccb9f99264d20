using Forgetting.Tensors;

namespace Forgetting.Backends.Contracts;

internal static partial class Contract
{
    /// <summary><see cref="ILossOperations.SignedLoss"/>.</summary>
    public static void SignedLoss(
        Tensor logits, Tensor targets, Tensor weights, Tensor baseLogProbability, Ascent ascent, Tensor losses, Tensor greedy)
    {
        Require(targets.Count == logits.Rows && Int(targets));
        Require(losses.Count == logits.Rows && Float(losses));
        Require(weights.IsEmpty || (weights.Count == logits.Rows && Float(weights)));
        Require(greedy.IsEmpty || (greedy.Count == logits.Rows && Int(greedy)));
        Require(!ascent.NeedsBase || weights.IsEmpty || (baseLogProbability.Count == logits.Rows && Float(baseLogProbability)));
    }

    /// <summary><see cref="ILossOperations.Sample"/>.</summary>
    public static void Sample(Tensor logits, Tensor uniforms, Tensor ids)
    {
        Require(uniforms.Count == logits.Rows && Float(uniforms));
        Require(ids.Count == logits.Rows && Int(ids));
    }

    /// <summary><see cref="ILossOperations.KlDivergence"/>.</summary>
    public static void KlDivergence(Tensor logits, Tensor baseLogits, Tensor weights, Tensor divergences)
    {
        Require(Same(baseLogits, logits));
        Require(weights.Count == logits.Rows && Float(weights) && divergences.Count == logits.Rows && Float(divergences));
    }
}
