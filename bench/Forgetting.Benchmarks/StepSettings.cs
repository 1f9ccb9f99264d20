using Forgetting.Models;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>Shape of a training step; <c>bench/peers/train_step.py</c> takes the same. The head is tied, as in the 15M Llama shape.</summary>
/// <param name="Dim">Hidden size.</param>
/// <param name="Mlp">Inner width of the feed-forward layers.</param>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Tokens of each; the last of them is only predicted.</param>
/// <param name="LoraRank">Rank of an adapter on every linear layer of every block; 0: all weights are trained.</param>
/// <param name="KeyValueHeads">Heads of keys and values; 0: as many as of queries.</param>
public sealed record StepSettings(
    int Dim = 288, int Layers = 6, int Heads = 6, int Mlp = 768, int Vocab = 32000, int Batch = 4, int Length = 256, int LoraRank = 0,
    int KeyValueHeads = 0)
{
    /// <summary>Tokens of a step.</summary>
    public int Tokens => Batch * Length;

    /// <summary>
    /// Floating-point operations a step needs, the same count for every program: 2 a weight and row forward, 2 for the input's gradient and 2 for the
    /// weight's where it is trained; of attention the half that is not masked, and 2½ times as much backward (five products for two).
    /// </summary>
    public double Operations
    {
        get
        {
            double keys = (double)Dim / Heads * GroupHeads;
            double block = 2.0 * Dim * (Dim + keys) + 3.0 * Dim * Mlp;
            double blocks = Layers * block * Tokens;
            double head = (double)Vocab * Dim * Batch * (Length - 1);
            double adapter = LoraRank * Layers * (2 * (2.0 * Dim) + 2 * (Dim + keys) + 3 * (Dim + Mlp)) * Tokens;
            double attention = 2.0 * Layers * Batch * Dim * Length * (Length + 1);
            return (LoraRank == 0 ? 6 : 4) * (blocks + head) + 6 * adapter + 3.5 * attention;
        }
    }

    internal ModelConfig Model => new()
    {
        Family = ModelFamily.Llama,
        VocabularySize = Vocab,
        HiddenSize = Dim,
        IntermediateSize = Mlp,
        Layers = Layers,
        Heads = Heads,
        KeyValueHeads = GroupHeads,
        HeadSize = Dim / Heads,
        ContextLength = Length,
        TiedHead = true,
        AttentionScale = 1 / Math.Sqrt((double)Dim / Heads),
    };

    private int GroupHeads => KeyValueHeads == 0 ? Heads : KeyValueHeads;

    internal LoraConfig? Adapter => LoraRank == 0 ? null : new LoraConfig { Rank = LoraRank, Alpha = 16 };

    internal TrainingOptions Options => new()
    {
        Method = TrainingMethod.Full,
        BatchSize = Batch,
        MicroBatchTokens = Tokens,
        LoraRank = LoraRank,
    };

    /// <inheritdoc/>
    public override string ToString() => $"{Dim}x{Layers} {Batch}x{Length} {(LoraRank == 0 ? "full" : $"LoRA {LoraRank}")}";
}
