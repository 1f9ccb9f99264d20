using Forgetting.Tensors;

namespace Forgetting.Backends;

/// <summary>The sizes of an attention layer.</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key-value heads; divides <paramref name="Heads"/>.</param>
/// <param name="HeadSize">Columns of a head.</param>
/// <param name="Scale">Factor on the scores: 1/√HeadSize, or 1 for GPT-Neo.</param>
/// <param name="Window">Number of latest tokens seen, the query's own included; 0 for all.</param>
/// <param name="Cap">Scores x become cap·tanh(x / cap); 0 for no cap.</param>
internal readonly record struct AttentionShape(
    int Heads, int KeyValueHeads, int HeadSize, float Scale, int Window = 0, float Cap = 0);

/// <summary>Which elements of a matrix [T, C] dropout drops (<see cref="IDenseOperations.LoraDown"/>).</summary>
/// <param name="Rate">Probability of dropping, in [0, 1).</param>
/// <param name="Stream">Number of the layer's place in the model, so that layers differ.</param>
/// <param name="Seed">Int32 [1, 2]: low and high half of the generator's key, which differs from step to step.</param>
/// <param name="RowKeys">Int32 [1, T].</param>
/// <remarks>
/// Philox 4×32-10 (Salmon et al., SC'11) with key Seed and counter (row key, column / 4, Stream, 0); lane column % 4, as
/// u = bits·2⁻³², keeps its element when u ≥ Rate.
/// </remarks>
internal readonly record struct DropoutMask(float Rate, int Stream, Tensor Seed, Tensor RowKeys);

/// <summary>
/// The random numbers of a stochastic rounding to bfloat16: of the two nearest numbers each with the probability that makes the
/// expectation exact.
/// </summary>
/// <param name="Key">Int32 [1, 2]: low and high half of the generator's key, which differs from pass to pass.</param>
/// <param name="Stream">Number of the rounding among those under one key.</param>
/// <remarks>
/// Philox 4×32-10 (Salmon et al., SC'11) with counter (Stream, i / 8 low, i / 8 high, 0) for element i: of the word i mod 8 / 2 the half
/// i mod 2, low before high. These 16 bits are added to the 16 that bfloat16 has no room for, and what is carried counts.
/// </remarks>
internal readonly record struct Rounding(Tensor Key, int Stream);

/// <summary>Scalars of AdamW that stay the same from step to step.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled decay; 0 for norms and biases.</param>
internal readonly record struct AdamWSettings(float Beta1, float Beta2, float Epsilon, float WeightDecay)
{
    /// <summary>How many <see cref="Numbers"/> there are.</summary>
    public const int NumberCount = 4;

    /// <summary>
    /// The scalars that change: learning rate, factor on the gradient, and the bias corrections 1/(1 − βᵗ) of both moments.
    /// </summary>
    /// <param name="step">Number t of this update, from 1.</param>
    /// <param name="gradientScale">Factor on the gradient: clipping.</param>
    public float[] Numbers(double learningRate, int step, double gradientScale) =>
        [(float)learningRate, (float)gradientScale, (float)(1 / (1 - Math.Pow(Beta1, step))), (float)(1 / (1 - Math.Pow(Beta2, step)))];
}

/// <summary>A tensor in 8 bits (arXiv 2110.02861): value i is scale[i / 256]·map[code[i]], with a <see cref="DynamicMap"/>.</summary>
/// <param name="Codes">UInt8.</param>
/// <param name="Scales">Float32 [1, ⌈n / 256⌉]: the largest magnitude of each block.</param>
internal readonly record struct BlockwiseTensor(Tensor Codes, Tensor Scales)
{
    /// <summary>Elements that share a scale.</summary>
    public const int Block = 256;

    /// <summary>Fewest elements that are kept so, as in bitsandbytes.</summary>
    public const int Least = 4096;

    /// <summary>The shape of the scales of so many elements.</summary>
    public static Shape ScalesOf(Shape shape) => new(checked((int)((shape.Count + Block - 1) / Block)));
}

/// <summary>How a negative token is unlearnt. Formulas: gradient at the logits for weight −w, p_y the target's probability.</summary>
public enum AscentKind
{
    /// <summary>−w·(p − e): plain gradient ascent (arXiv 2505.19715, 2508.04329).</summary>
    Ascent,

    /// <summary>−w·p_y^β·(p − e): WGA (arXiv 2502.19301).</summary>
    Weighted,

    /// <summary>−w·p_y^β₁·(1 − p_y)^β₂·(p − e): SatImp (arXiv 2505.11953).</summary>
    SatImp,

    /// <summary>−w·W·(p − e), W = 2p_y^β/(p_y^β + p0_y^β): token-level NPO (arXiv 2404.05868).</summary>
    Npo,

    /// <summary>w·∇(1 + p_y − max_{v≠y} p_v): inverted hinge (arXiv 2408.06621); of equal maxima the lowest index counts.</summary>
    Hinge,

    /// <summary>w·∇(−log(1 − p_y)) = w·p_y/(1 − p_y)·(e − p).</summary>
    Unlikelihood,

    /// <summary>w·(p − 1/V): cross-entropy to the uniform distribution.</summary>
    Entropy,

    /// <summary>
    /// −w·p0_y^γ·W·(p − e) with NPO's W: unlearns a token as much as the base model believed it. What the base never
    /// believed is left alone (this project's).
    /// </summary>
    Belief,
}

/// <summary>
/// How the signed loss learns and unlearns: a kind of ascent with its exponents (unused ones are ignored),
/// and the exponent of what is learnt.
/// </summary>
/// <param name="Kind">The kind.</param>
/// <param name="Beta">β of weighted, npo and belief, β₁ of satimp.</param>
/// <param name="Beta2">β₂ of satimp, γ of belief.</param>
/// <param name="LearningPower">
/// q of generalised cross-entropy (1 − p_y^q)/q on what is learnt (arXiv 1805.07836), gradient w·p_y^q·(p − e); 0: cross-entropy.
/// </param>
internal readonly record struct Ascent(AscentKind Kind, float Beta = 0, float Beta2 = 0, float LearningPower = 0)
{
    /// <summary>Whether the gradient depends on the target's probability under the base model.</summary>
    public bool NeedsBase => Kind is AscentKind.Npo or AscentKind.Belief;

    /// <summary>The kind with its source's exponents (weighted β 1; satimp β₁ 5, β₂ 1; npo β 0.1; belief β 0.1, γ 1).</summary>
    public static Ascent From(AscentKind kind) => kind switch
    {
        AscentKind.Weighted => new(kind, 1),
        AscentKind.SatImp => new(kind, 5, 1),
        AscentKind.Npo => new(kind, 0.1f),
        AscentKind.Belief => new(kind, 0.1f, 1),
        _ => new(kind),
    };
}
