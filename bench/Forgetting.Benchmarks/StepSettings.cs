using Forgetting.Models;
using Forgetting.Models.Families;
using Forgetting.Training;

namespace Forgetting.Benchmarks;

/// <summary>
/// Shape of a training step; <c>bench/peers/torchsharp</c> takes the same. The head is tied, as in the 15M Llama shape.
/// </summary>
/// <param name="Dim">Hidden size.</param>
/// <param name="Mlp">Inner width of the feed-forward layers.</param>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Tokens of each; the last of them is only predicted.</param>
/// <param name="LoraRank">Rank of an adapter on every linear layer of every block; 0: all weights are trained.</param>
/// <param name="KeyValueHeads">Heads of keys and values; 0: as many as of queries.</param>
/// <param name="Gpt2">GPT-2's blocks instead of Llama's.</param>
/// <param name="NoCudaGraphs">Launch every kernel by itself.</param>
public sealed record StepSettings(
    int Dim = 288, int Layers = 6, int Heads = 6, int Mlp = 768, int Vocab = 32000, int Batch = 4, int Length = 256, int LoraRank = 0,
    int KeyValueHeads = 0, bool Gpt2 = false, bool NoCudaGraphs = false)
{
    /// <summary>Tokens of a step.</summary>
    public int Tokens => Batch * Length;

    /// <summary>Tokens that are computed at once.</summary>
    public int MicroBatchTokens { get; init; } = Batch * Length;

    /// <summary>Family, width and depth.</summary>
    public string ModelName => $"{(Gpt2 ? "gpt2 " : "")}{Dim}x{Layers}";

    /// <summary>
    /// Floating-point operations a step needs, the same count for every program: 2 a weight and row forward, 2 for the
    /// input's gradient and 2 for the weight's where it is trained; of attention the half that is not masked, and 2½ times as
    /// much backward (five products for two).
    /// </summary>
    public double Operations
    {
        get
        {
            // GPT-2's query, key and value share one adapter.
            double attentionLayers = Gpt2 ? 6.0 * Dim : 4.0 * Dim + 2 * (Dim + KeyWidth);
            double adapter = LoraRank * Layers * (attentionLayers + MlpLayers * (Dim + Mlp)) * Tokens;
            double products = BlockWeights * Tokens + HeadWeights * Batch * (Length - 1);
            return (LoraRank == 0 ? 6 : 4) * products + 6 * adapter + 3.5 * Batch * AttentionOperations(Length);
        }
    }

    /// <summary>Weights of the blocks' linear layers.</summary>
    public double BlockWeights => Layers * (2.0 * Dim * (Dim + KeyWidth) + MlpLayers * Dim * Mlp);

    /// <summary>Weights of the head.</summary>
    public double HeadWeights => (double)Vocab * Dim;

    /// <summary>
    /// Floating-point operations of attention in the forward pass of one sequence: of the scores the half that is not masked.
    /// </summary>
    public double AttentionOperations(double length) => 2.0 * Layers * Dim * length * (length + 1);

    private double KeyWidth => (double)Dim / Heads * GroupHeads;

    private double MlpLayers => Gpt2 ? 2 : 3;

    internal ModelConfig Model => new()
    {
        Family = Gpt2 ? ModelFamilies.Gpt2 : ModelFamilies.Llama,
        LayerNorm = Gpt2,
        LearnedPositions = Gpt2,
        VocabularySize = Vocab,
        HiddenSize = Dim,
        IntermediateSize = Mlp,
        Layers = Layers,
        Heads = Heads,
        KeyValueHeads = GroupHeads,
        HeadSize = Dim / Heads,
        ContextLength = Length,
        TiedHead = true,
        Activation = Gpt2 ? ActivationKind.GeluTanh : ActivationKind.SwiGlu,
        QueryKeyValueBias = Gpt2,
        AttentionOutputBias = Gpt2,
        MlpBias = Gpt2,
        AttentionScale = 1 / Math.Sqrt((double)Dim / Heads),
    };

    private int GroupHeads => KeyValueHeads == 0 ? Heads : KeyValueHeads;

    internal LoraConfig? Adapter => LoraRank == 0 ? null : new LoraConfig { Rank = LoraRank, Alpha = 16 };

    internal TrainingOptions Options => new()
    {
        Method = TrainingMethod.Full,
        Compute = new() { NoCudaGraphs = NoCudaGraphs, MicroBatchTokens = MicroBatchTokens },
        Schedule = new() { BatchSize = Batch },
        Lora = new() { Rank = LoraRank },
    };

    /// <inheritdoc/>
    public override string ToString() => $"{ModelName} {Batch}x{Length} {(LoraRank == 0 ? "full" : $"LoRA {LoraRank}")}";
}
